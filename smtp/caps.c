#include "smtp/caps.h"

#include <stddef.h>

static const char *const keywords[SMTP_EXTENSION_COUNT] = {
    [SMTP_EXTENSION_SIZE] = "SIZE",
    [SMTP_EXTENSION_8BITMIME] = "8BITMIME",
    [SMTP_EXTENSION_SMTPUTF8] = "SMTPUTF8",
    [SMTP_EXTENSION_PIPELINING] = "PIPELINING",
    [SMTP_EXTENSION_CHUNKING] = "CHUNKING",
    [SMTP_EXTENSION_ENHANCEDSTATUSCODES] = "ENHANCEDSTATUSCODES",
    [SMTP_EXTENSION_STARTTLS] = "STARTTLS",
    [SMTP_EXTENSION_AUTH] = "AUTH",
};

void smtp_caps_clear(struct smtp_caps *caps)
{
    *caps = (struct smtp_caps){0};
}

/* The next word; *rest moves behind it. */
static struct str next_word(struct str *rest)
{
    *rest = str_trim(*rest);
    size_t len = str_find(*rest, ' ');
    struct str word = str_of(rest->data, len);
    *rest = str_after(*rest, len);
    return word;
}

static void add_size(struct smtp_caps *caps, struct str parameters)
{
    unsigned long long size = 0;
    if (!str_to_u64(next_word(&parameters), UINT64_MAX, &size))
        size = 0;
    caps->size_max = size;
}

static void add_auth(struct smtp_caps *caps, struct str parameters)
{
    while (parameters.len > 0) {
        struct str word = next_word(&parameters);
        if (str_equal_nocase(word, STR("PLAIN")))
            caps->auth_plain = true;
        else if (str_equal_nocase(word, STR("LOGIN")))
            caps->auth_login = true;
    }
}

void smtp_caps_add(struct smtp_caps *caps, struct str line)
{
    struct str word = next_word(&line);
    for (int i = 0; i < SMTP_EXTENSION_COUNT; i++) {
        if (!str_equal_nocase(word, str_from(keywords[i])))
            continue;
        caps->offered[i] = true;
        if (i == SMTP_EXTENSION_SIZE)
            add_size(caps, line);
        else if (i == SMTP_EXTENSION_AUTH)
            add_auth(caps, line);
        return;
    }
}
