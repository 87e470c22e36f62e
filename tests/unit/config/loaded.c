#include "tests/unit/config/loaded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"

/* The text of b without each "folder/". */
static char *relative(const struct buf *b, const char *folder)
{
    size_t len = strlen(folder);
    struct str rest = buf_str(b);
    struct buf out;
    size_t ignored;
    buf_init(&out, 1 << 20);
    while (rest.len > 0) {
        if (str_starts(rest, str_of(folder, len))) {
            rest = str_after(rest, len + 1);
            continue;
        }
        buf_add_char(&out, rest.data[0]);
        rest = str_after(rest, 1);
    }
    buf_add_char(&out, '\0');
    assert_true(buf_ok(&out));
    return buf_take(&out, &ignored);
}

void loaded_open(struct loaded *l, struct scratch *s, const char *text)
{
    struct buf problems;
    struct buf warnings;
    buf_init(&problems, 1 << 20);
    buf_init(&warnings, 1 << 20);
    *l = (struct loaded){0};
    const char *path = scratch_write(s, "main.conf", text, strlen(text), 0600);
    l->code = config_load(path, &l->settings, &problems, &warnings);
    l->problems = relative(&problems, s->folder);
    l->warnings = relative(&warnings, s->folder);
    buf_fini(&problems);
    buf_fini(&warnings);
    assert_int_equal(l->code == ERR_NONE, l->problems[0] == '\0');
    assert_int_equal(l->code == ERR_NONE, l->settings != NULL);
}

void loaded_close(struct loaded *l)
{
    settings_destroy(l->settings);
    mem_free(l->problems);
    mem_free(l->warnings);
}

size_t loaded_count(const char *text)
{
    size_t lines = 0;
    for (const char *p = text; *p != '\0'; p++)
        lines += *p == '\n' ? 1 : 0;
    return lines;
}
