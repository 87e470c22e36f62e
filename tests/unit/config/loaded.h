#ifndef TESTS_UNIT_CONFIG_LOADED_H
#define TESTS_UNIT_CONFIG_LOADED_H

#include "config/config.h"
#include "tests/support/scratch.h"

/* One config text, written to a file main.conf and loaded. */
struct loaded {
    enum err_code code;
    struct settings *settings; /* NULL when refused */
    char *problems;            /* lines, without the folder's name */
    char *warnings;
};

/* A relays section that has nothing wrong with it. */
#define LOADED_RELAYS                                                          \
    "relays = ( { name = \"main\"; url = \"smtps://mx.example.com\"; } );\n"

void loaded_open(struct loaded *l, struct scratch *s, const char *text);
void loaded_close(struct loaded *l);

/* The number of lines of text. */
size_t loaded_count(const char *text);

#endif
