#ifndef APP_CLI_LISTING_H
#define APP_CLI_LISTING_H

#include <stdbool.h>
#include <stdint.h>

#include "app/cli/cli.h"
#include "app/cli/exchange.h"
#include "app/cli/jsontree.h"
#include "app/cli/options.h"

/* The daemon's `list`, page by page, until its end or a number of jobs. */
struct listing_filter {
    struct text_list states; /* each may be several, with commas */
    const char *relay;       /* or NULL, as the next one */
    const char *tag;
    int64_t older_ms; /* 0: of any age */
};

#define LISTING_AFTER_MAX 64

struct listing {
    struct cli *cli;
    struct exchange *x;
    const struct listing_filter *filter;
    bool quiet; /* with --json too: pages are not printed */
    bool more;  /* there are jobs behind the last page */
    int64_t left;
    char after[LISTING_AFTER_MAX + 1];
};

/* At most limit jobs; 0: all. cli, x and filter are borrowed. */
void listing_begin(struct listing *l, struct cli *cli, struct exchange *x,
                   const struct listing_filter *filter, int64_t limit);

/*
 * The next jobs: an array, valid until the next request on x; NULL at the end.
 * Returns 0, or the exit code after having complained. Prints the page with
 * --json.
 */
MUST_CHECK int listing_next(struct listing *l, const struct json_node **jobs);

#endif
