#ifndef APP_CLI_OPTIONS_H
#define APP_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/err.h"

/*
 * Command line options from tables: each row says what an option is called,
 * where its value goes and what --help says of it.
 */
enum option_kind {
    OPTION_FLAG,     /* bool */
    OPTION_TEXT,     /* const char * */
    OPTION_LIST,     /* struct text_list; may be given many times */
    OPTION_DURATION, /* int64_t, milliseconds */
    OPTION_COUNT,    /* int64_t */
};

struct text_list {
    const char **items; /* views of the command line */
    size_t count;
};

struct option_spec {
    const char *name; /* without the two dashes */
    char letter;      /* 0: none */
    enum option_kind kind;
    size_t offset; /* in the target */
    int64_t min;   /* of durations and counts */
    int64_t max;
    const char *argument;   /* what --help calls the value; NULL for flags */
    const char *by_default; /* as it would be written; NULL: zero */
    const char *when_alone; /* durations: the value when none is given; a value
                               must then begin with a digit */
    const char *help;       /* lines split by \n */
};

/* A table and the struct its offsets are for. */
struct option_set {
    const struct option_spec *table;
    size_t count;
    void *target;
};

/* A command line, or what is left of one. */
struct option_words {
    char **argv; /* without the program's name */
    int argc;
    int operands; /* filled by options_parse() */
};

/* Gives every option that has one its default. */
void options_defaults(const struct option_set *set);

/*
 * Reads the words. What is no option is moved to the front of argv, in order,
 * and operands is how many there are; with until_operand it ends before the
 * first one instead, and operands is how many words were read. Short options
 * stand alone ("-s X" or "-sX"), long ones are written out ("--name X" or
 * "--name=X"), "--" ends them.
 *
 * Ownership: values refer to argv; lists belong to the target: see
 * options_fini(). ERR_INVALID names the option and what it wants.
 */
MUST_CHECK enum err_code options_parse(const struct option_set *sets,
                                       size_t set_count, bool until_operand,
                                       struct option_words *words,
                                       struct err *err);

/* Frees the lists of the target. */
void options_fini(const struct option_set *set);

/* The table as people read it, 80 columns. */
void options_help(FILE *out, const struct option_spec *table, size_t count);

#endif
