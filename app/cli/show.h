#ifndef APP_CLI_SHOW_H
#define APP_CLI_SHOW_H

#include <stdint.h>
#include <stdio.h>

#include "core/str.h"

/* How things are written for a person at a terminal. */

/*
 * Text from elsewhere: control characters, what changes the direction of
 * writing, and what is no UTF-8 come out as visible escapes ("\n", "\x1b",
 * "\u202e"), so that no reply can do anything to the terminal.
 */
void show_text(FILE *out, struct str text);

/*
 * The same on max bytes at most: what is longer ends in "...". What takes
 * escapes may come out wider.
 */
void show_text_cut(FILE *out, struct str text, size_t max);

/* The beginning of text in quotes, safe as above; for messages. */
#define SHOW_EXCERPT_MAX 128
void show_excerpt(struct str text, char out[SHOW_EXCERPT_MAX]);

/* "2026-11-20 14:03:20 (in 3 min)", in the machine's time zone. */
void show_time(FILE *out, int64_t real_ms, int64_t now_ms);

/* "now", "in 3 min", "2 h ago". */
#define SHOW_RELATIVE_MAX 32
void show_relative(int64_t real_ms, int64_t now_ms,
                   char out[SHOW_RELATIVE_MAX]);

/* "1,234,567" */
#define SHOW_NUMBER_MAX 32
void show_number(int64_t number, char out[SHOW_NUMBER_MAX]);

#endif
