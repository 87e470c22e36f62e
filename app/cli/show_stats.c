#include "app/cli/show_stats.h"

#include "app/cli/show_value.h"

bool show_stats_ledger(const struct json_node *ledger, bool *adds_up)
{
    static const char *const parts[] = {
        "delivered", "failed", "expired", "cancelled",
        "waiting",   "active", "held",
    };
    int64_t accepted;
    int64_t sum = 0;
    if (!jsontree_int(jsontree_get(ledger, "accepted", JSON_NUMBER), &accepted))
        return false;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        int64_t part;
        if (!jsontree_int(jsontree_get(ledger, parts[i], JSON_NUMBER), &part))
            return false;
        sum += part;
    }
    *adds_up = sum == accepted;
    return true;
}

void show_stats(FILE *out, const struct json_node *reply, int64_t now_ms)
{
    bool adds_up;
    for (const struct json_node *n = reply->first; n != NULL; n = n->next) {
        if (str_equal(n->name, STR("ok")) || str_equal(n->name, STR("ref")))
            continue;
        show_member(out, n, 0, now_ms);
        if (show_stats_ledger(n, &adds_up))
            (void)fputs(adds_up ? "  (adds up)\n"
                                : "  (DOES NOT ADD UP: please report this)\n",
                        out);
    }
}
