#include "app/cli/sendmail.h"

#include <sysexits.h>

#include "core/str.h"

bool sendmail_is_name(const char *program)
{
    return str_ends_nocase(str_from(program), STR("sendmail"));
}

int sendmail_main(struct cli *cli, int argc, char **argv)
{
    (void)argc;
    cli_complain(cli,
                 "called as %s, but this version has no sendmail mode: use "
                 "'postrider send' or 'postrider enqueue'",
                 argv[0]);
    return EX_UNAVAILABLE;
}
