#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/keys.h"
#include "core/file.h"
#include "core/mem.h"
#include "tests/unit/config/loaded.h"

#define DOCUMENT POSTRIDER_SOURCE "/docs/configuration.md"

static char *print_manual(void)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    config_print_manual(out);
    assert_int_equal(fclose(out), 0);
    return text;
}

/* How many lines of text are word and nothing else. */
static size_t count_lines(const char *text, const char *word)
{
    size_t found = 0;
    struct str rest = str_from(text);
    while (rest.len > 0) {
        struct str line = str_of(rest.data, str_find(rest, '\n'));
        rest = str_after(rest, line.len + 1);
        found += str_equal(line, str_from(word)) ? 1 : 0;
    }
    return found;
}

static void manual_names_every_key_once(void **state)
{
    size_t count;
    const struct key *keys = keys_all(&count);
    char *manual = print_manual();
    (void)state;
    for (size_t i = 0; i < count; i++)
        if (count_lines(manual, keys[i].path) != 1)
            fail_msg("%s", keys[i].path);
    free(manual);
}

static void manual_fits_80_columns(void **state)
{
    char *manual = print_manual();
    struct str rest = str_from(manual);
    (void)state;
    while (rest.len > 0) {
        size_t len = str_find(rest, '\n');
        if (len > 80)
            fail_msg("%.*s", (int)len, rest.data);
        rest = str_after(rest, len + 1);
    }
    free(manual);
}

static void table_is_complete(void **state)
{
    size_t count;
    const struct key *keys = keys_all(&count);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        const struct key *key = &keys[i];
        bool has_range = key->type != KEY_BOOL && key->type != KEY_CHOICE;
        if (strlen(key->help) == 0 || (has_range && key->max <= key->min) ||
            (key->required && key->standard != NULL) ||
            (key->type == KEY_CHOICE) != (key->choices != NULL) ||
            keys_section(keys_section_of(key)) == NULL ||
            keys_find(keys_section_of(key), keys_name_of(key)) != key)
            fail_msg("%s", key->path);
    }
}

/* What stands in the document between two lines. */
static char *document_block(struct str from, struct str to)
{
    struct buf text;
    struct err err;
    buf_init(&text, 1 << 20);
    if (file_read(DOCUMENT, &text, &err) != ERR_NONE)
        fail_msg("%s", err.text);
    buf_add_char(&text, '\0');
    char *start = strstr(text.data, from.data);
    assert_non_null(start);
    start += from.len;
    char *end = strstr(start, to.data);
    assert_non_null(end);
    char *block = mem_strdup(str_of(start, (size_t)(end - start)));
    buf_fini(&text);
    return block;
}

static void document_has_the_manual_as_printed(void **state)
{
    char *manual = print_manual();
    char *block = document_block(STR("```text\n"), STR("```\n"));
    (void)state;
    if (strcmp(manual, block) != 0)
        fail_msg("the block in %s is not what config_print_manual() gives:\n%s",
                 DOCUMENT, manual);
    free(manual);
    mem_free(block);
}

static void samples_in_the_document_load(void **state)
{
    struct scratch scratch;
    struct loaded l;
    char *sample = document_block(STR("```libconfig\n"), STR("```\n"));
    char *password = strstr(sample, "/etc/postrider/main.password");
    (void)state;
    scratch_open(&scratch);
    (void)scratch_write(&scratch, "main.password", "x", 1, 0600);
    assert_non_null(password);
    /* a relative path, with blanks behind the string to keep the length */
    memcpy(password, "main.password\";               ", 30);
    loaded_open(&l, &scratch, sample);
    assert_string_equal(l.problems, "");
    assert_string_equal(l.warnings, "");
    assert_int_equal(l.settings->relay_count, 2);
    loaded_close(&l);
    scratch_close(&scratch);
    mem_free(sample);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manual_names_every_key_once),
        cmocka_unit_test(manual_fits_80_columns),
        cmocka_unit_test(table_is_complete),
        cmocka_unit_test(document_has_the_manual_as_printed),
        cmocka_unit_test(samples_in_the_document_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
