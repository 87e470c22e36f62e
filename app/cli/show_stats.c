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

/* Numbers that mean trouble are told as such. */
static void show_trouble(FILE *out, const struct json_node *spool)
{
    int64_t unrecorded = 0;
    if (jsontree_text(spool, "disk_error").len > 0)
        (void)fputs("  (THE SPOOL CANNOT BE WRITTEN: jobs are refused until "
                    "it can)\n",
                    out);
    if (jsontree_int(jsontree_get(spool, "unrecorded", JSON_NUMBER),
                     &unrecorded) &&
        unrecorded > 0)
        (void)fputs("  (unrecorded: results of attempts that wait for the "
                    "disk; until they\n   are on it, a crash makes them be "
                    "sent again)\n",
                    out);
}

void show_stats(FILE *out, const struct json_node *reply, int64_t now_ms)
{
    bool adds_up;
    for (const struct json_node *n = reply->first; n != NULL; n = n->next) {
        if (str_equal(n->name, STR("ok")) || str_equal(n->name, STR("ref")))
            continue;
        show_member(out, n, 0, now_ms);
        if (str_equal(n->name, STR("spool")))
            show_trouble(out, n);
        if (show_stats_ledger(n, &adds_up))
            (void)fputs(adds_up ? "  (adds up)\n"
                                : "  (DOES NOT ADD UP: please report this)\n",
                        out);
    }
}
