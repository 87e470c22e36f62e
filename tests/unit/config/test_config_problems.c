#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tests/unit/config/loaded.h"

/* Each line wanted is "FILE:LINE:" and words that must stand behind it. */
struct want {
    const char *where;
    const char *words;
    const char *more;
};

struct bad {
    const char *text;
    struct want want[10];
};

static const struct bad bad_files[] = {
    /* the text as a whole */
    {"", {{"main.conf:1:", "relays is missing", "for example"}}},
    {"relays = ( );\n", {{"main.conf:1:", "relays has 0 entries", "1 to 64"}}},
    {"relays = { name = \"a\"; };\n",
     {{"main.conf:1:", "relays must be a list of groups", "( {"}}},
    {LOADED_RELAYS "queue = 5;\n",
     {{"main.conf:2:", "queue must be a group", "{ ... }"}}},
    {LOADED_RELAYS "routes = ( 1 );\n",
     {{"main.conf:2:", "routes must be a group in braces", NULL}}},
    {LOADED_RELAYS "queue = {\n capacity = ;\n};\n",
     {{"main.conf:3:", "syntax error", "missing"}}},
    {LOADED_RELAYS "queue = { };\n\nqueue = { };\n",
     {{"main.conf:4:", "queue is set a second time", "first in main.conf:2"}}},
    {LOADED_RELAYS "queue = { capacity = 1; max_bytes = \"1M\"; /* } */\n"
                   "# capacity = 2\n capacity : 2; };\n",
     {{"main.conf:4:", "capacity is set a second time", "main.conf:2"}}},
    {"relays = ( { name = \"a\"; url = \"x\"; }, { name = \"{ \\\" b\";\n"
     "url = \"smtps://x\"; url\n= \"smtps://y\"; } );\n",
     {{"main.conf:2:", "url is set a second time", "main.conf:2"}}},
    {LOADED_RELAYS "log = { level = \"info\"; };\n@include \"twice.conf\"\n",
     {{"twice.conf:2:", "log is set a second time", "main.conf:2"}}},
    {LOADED_RELAYS "hostname = \"mail\n",
     {{"main.conf:2:", "no closing quote", NULL}}},
    {LOADED_RELAYS "\n/* hostname\n",
     {{"main.conf:3:", "no closing */", NULL}}},
    {LOADED_RELAYS "hostname = \"a\\x00b\";\n",
     {{"main.conf:2:", "\\x00 in a string", NULL}}},
    {"\xef\xbb\xbf" LOADED_RELAYS,
     {{"main.conf:1:", "byte order mark", "without"}}},

    /* unknown keys */
    {LOADED_RELAYS "\nspol = { };\n",
     {{"main.conf:3:", "unknown key spol", "did you mean spool?"}}},
    {LOADED_RELAYS "capacity = 5;\n",
     {{"main.conf:2:", "unknown key capacity", "belongs into queue"}}},
    {LOADED_RELAYS "frobnicate = 5;\n",
     {{"main.conf:2:", "unknown key frobnicate", "listen, relays, routes"}}},
    {LOADED_RELAYS "queue = { capcaity = 5;\n max = 5; };\n",
     {{"main.conf:2:", "unknown key queue.capcaity", "did you mean capacity?"},
      {"main.conf:3:", "unknown key queue.max:", "capacity, max_bytes"}}},
    {"relays = ( { name = \"a\"; url = \"smtps://b\";\n usernam = \"c\"; } "
     ");\n",
     {{"main.conf:2:", "unknown key relays.usernam",
       "did you mean username?"}}},

    /* types and ranges */
    {LOADED_RELAYS "queue = {\n capacity = \"5\";\n max_bytes = 5;\n};\n",
     {{"main.conf:3:", "queue.capacity must be a whole number", NULL},
      {"main.conf:4:", "queue.max_bytes must be a size in quotes", "64K"}}},
    {LOADED_RELAYS "queue = { capacity = 0; };\n",
     {{"main.conf:2:", "queue.capacity is out of range", "1 to 1000000"}}},
    {LOADED_RELAYS "queue = { capacity = -1; };\n",
     {{"main.conf:2:", "queue.capacity is out of range", NULL}}},
    {LOADED_RELAYS "queue = { capacity = 1.5; };\n",
     {{"main.conf:2:", "queue.capacity must be a whole number", NULL}}},
    {LOADED_RELAYS "workers = { count = 65; };\n",
     {{"main.conf:2:", "workers.count is out of range", "1 to 64"}}},
    {LOADED_RELAYS "workers = { mode = \"processes\"; };\n",
     {{"main.conf:2:", "not available in this version", "use \"threads\""}}},
    {LOADED_RELAYS "workers = { mode = \"fibres\"; };\n",
     {{"main.conf:2:", "workers.mode must be \"threads\"", NULL}}},
    {LOADED_RELAYS "spool = {\n backend = \"redis\"; path = \"x\"; };\n",
     {{"main.conf:3:", "spool.backend must be \"sqlite\" or \"memory\"",
       NULL}}},
    {LOADED_RELAYS "history = { keep = \"2d\";\n keep_failed = \"1d\"; };\n",
     {{"main.conf:3:", "history.keep_failed must not be less", NULL}}},
    {LOADED_RELAYS "retry = { first = 30; longest = \"4\";\n give_up = \"5x\"; "
                   "factor = \"2\"; };\n",
     {{"main.conf:2:", "retry.first must be a duration in quotes", "30s"},
      {"main.conf:2:", "retry.longest", "has no unit of time"},
      {"main.conf:3:", "retry.factor must be a number", NULL},
      {"main.conf:3:", "retry.give_up", "has no unit of time"}}},
    {LOADED_RELAYS "retry = { factor = 0.5; jitter = 1e999; };\n",
     {{"main.conf:2:", "retry.factor is out of range", "1 to 100"},
      {"main.conf:2:", "retry.jitter is out of range", "0 to 1"}}},
    {LOADED_RELAYS "retry = { first = \"5h\"; longest = \"4h\"; };\n",
     {{"main.conf:2:", "retry.longest must not be less than retry.first",
       NULL}}},
    {LOADED_RELAYS "retry = { first = \"1d\";\nlongest = \"2d\";\n"
                   "give_up = \"1h\"; };\n",
     {{"main.conf:4:", "retry.give_up must not be less than", NULL}}},
    {LOADED_RELAYS "limits = { frame = \"2000G\"; idle = \"1ms\"; };\n",
     {{"main.conf:2:", "limits.frame is out of range", "1K to 1G"},
      {"main.conf:2:", "limits.idle is out of range", "10ms to 1d"}}},
    {LOADED_RELAYS "limits = { frame = \"5 M\"; };\n",
     {{"main.conf:2:", "limits.frame", "is no size"}}},
    {LOADED_RELAYS "log = { level = \"loud\"; };\n",
     {{"main.conf:2:", "log.level must be", "\"warning\" or \"info\""}}},
    {LOADED_RELAYS "hostname = \"not a host\";\n",
     {{"main.conf:2:", "hostname is no name of a machine", NULL}}},
    {LOADED_RELAYS "hostname = \"a\\nb\";\n",
     {{"main.conf:2:", "hostname has a control character", NULL}}},
    {LOADED_RELAYS "hostname = \"\";\n",
     {{"main.conf:2:", "hostname is empty", NULL}}},
    {LOADED_RELAYS "hostname = \"a\\xff\";\n",
     {{"main.conf:2:", "hostname is not valid UTF-8", NULL}}},
    {LOADED_RELAYS "spool = { max_bytes = \"1M\"; };\n"
                   "queue = { max_bytes = \"2M\"; };\n",
     {{"main.conf:2:", "spool.max_bytes is less than limits.message", NULL},
      {"main.conf:3:", "queue.max_bytes is less than limits.message", NULL}}},

    /* listeners */
    {LOADED_RELAYS "listen = (\n { port = 1; },\n { type = \"sctp\"; } );\n",
     {{"main.conf:3:", "listen.type is missing", NULL},
      {"main.conf:4:", "listen.type must be \"tcp\" or \"udp\" or \"unix\"",
       NULL}}},
    {LOADED_RELAYS "listen = ( { type = \"tcp\"; address = \"0.0.0.0\"; },\n"
                   "{ type = \"udp\";\n address = \"*\"; },\n"
                   "{ type = \"tcp\"; address = \"::\"; insecure = false; } "
                   ");\n",
     {{"main.conf:2:", "listen.address 0.0.0.0 can be reached", "insecure"},
      {"main.conf:4:", "listen.address * can be reached", "127.0.0.1"},
      {"main.conf:5:", "listen.address :: can be reached", NULL}}},
    {LOADED_RELAYS
     "listen = ( { type = \"tcp\"; address = \"localhos\"; } );\n",
     {{"main.conf:2:", "listen.address", "no numeric IPv4 or IPv6"}}},
    {LOADED_RELAYS "listen = ( { type = \"tcp\"; port = 65536; } );\n",
     {{"main.conf:2:", "listen.port is out of range", "0 to 65535"}}},
    {LOADED_RELAYS "listen = ( { type = \"tcp\"; },\n{ type = \"udp\"; },\n"
                   "{ type = \"tcp\"; } );\n",
     {{"main.conf:4:", "listen has this tcp address twice", NULL}}},
    {LOADED_RELAYS "listen = ( { type = \"unix\"; path = \"/a\"; },\n"
                   "{ type = \"unix\"; path = \"/a\"; } );\n",
     {{"main.conf:3:", "listen has this unix address twice", NULL}}},
    {LOADED_RELAYS "listen = ( { type = \"unix\"; port = 1; },\n"
                   "{ type = \"tcp\"; path = \"/a\"; mode = \"0600\"; } );\n",
     {{"main.conf:2:", "listen.port has no meaning for type \"unix\"", NULL},
      {"main.conf:3:", "listen.path has no meaning for type \"tcp\"", NULL},
      {"main.conf:3:", "listen.mode has no meaning for type \"tcp\"", NULL}}},
    {LOADED_RELAYS "listen = ( { type = \"unix\"; mode = 0660; },\n"
                   "{ type = \"unix\"; path = \"/a\"; mode = \"0888\"; },\n"
                   "{ type = \"unix\"; path = \"/b\"; mode = \"1777\"; } );\n",
     {{"main.conf:2:", "listen.mode must be permission bits in quotes", NULL},
      {"main.conf:3:", "listen.mode must be three or four octal", "0660"},
      {"main.conf:4:", "listen.mode must be three or four octal", "0777"}}},

    /* relays */
    {"relays = ( {\n name = \"a b\"; url = \"smtps://x\"; },\n { url = "
     "\"smtps://y\"; },\n { name = \"c\"; } );\n",
     {{"main.conf:2:", "relays.name may have letters", NULL},
      {"main.conf:3:", "relays.name is missing", NULL},
      {"main.conf:4:", "relays.url is missing", NULL}}},
    {"relays = ( { name = \"a\"; url = \"smtps://x\"; },\n"
     "{ name = \"a\"; url = \"smtps://y\"; } );\n",
     {{"main.conf:2:", "relays.name \"a\" is there twice", NULL}}},
    {"relays = ( { name = \"a\";\n url = \"smtps://u:hunter2@x\"; } );\n",
     {{"main.conf:2:", "relays.url: user and password do not belong there",
       "password_file"}}},
    {"relays = ( { name = \"a\"; url = \"https://x\"; } );\n",
     {{"main.conf:1:", "relays.url: it must begin with smtps://", NULL}}},
    {"relays = ( { name = \"a\"; url = \"smtps://x\"; tls = \"none\"; } );\n",
     {{"main.conf:1:", "relays.tls = \"none\" contradicts smtps://", NULL}}},
    {"relays = ( { name = \"a\"; url = \"smtps://x\";\n password = "
     "\"hunter2\"; "
     "} );\n",
     {{"main.conf:1:", "a password and no username", NULL},
      {"main.conf:2:", "relays.password is refused", "password_file"}}},
    {"relays = ( { name = \"a\"; url = \"smtps://x\";\n username = \"u\"; } "
     ");\n",
     {{"main.conf:2:", "relays.username has no password", "password_file"}}},
    {"relays = ( { name = \"a\"; url = \"smtps://x\";\n password_file = "
     "\"good.password\"; } );\n",
     {{"main.conf:2:", "a password and no username", "add username"}}},
    {"relays = ( { name = \"a\"; url = \"smtps://x\"; username = \"u\\x01\";\n "
     "password_file = \"good.password\"; } );\n",
     {{"main.conf:1:", "relays.username has a control character", NULL}}},
    {"relays = ( { name = \"a\"; url = \"smtps://x\"; username = \"u\";\n "
     "password_file = \"open.password\"; } );\n",
     {{"main.conf:2:", "relays.password_file: open.password is open to every",
       "chmod 600"}}},
    {"relays = ( { name = \"a\"; url = \"smtps://x\"; username = \"u\";\n "
     "password_file = \"good.password\"; password_env = \"PR_TEST\"; } );\n",
     {{"main.conf:2:", "both password_file and password_env", NULL}}},
    {"relays = ( { name = \"a\"; url = \"smtps://x\"; username = \"u\";\n "
     "password_env = \"POSTRIDER_NO_SUCH_VARIABLE\"; } );\n",
     {{"main.conf:2:", "POSTRIDER_NO_SUCH_VARIABLE is not set", NULL}}},
    {"relays = ( { name = \"a\"; url = \"smtps://x\"; ca_file = \"gone.pem\"; "
     "} );\n",
     {{"main.conf:1:", "relays.ca_file: cannot open gone.pem",
       "No such file"}}},
    {"relays = ( { name = \"a\"; url = \"smtps://x\";\n ca_file = "
     "\"no.pem\"; } );\n",
     {{"main.conf:2:", "relays.ca_file: no.pem has no certificate in PEM",
       "-----BEGIN CERTIFICATE-----"}}},
    {"relays = ( { name = \"a\"; url = \"smtps://x\";\n ca_file = \".\"; } "
     ");\n",
     {{"main.conf:2:", "relays.ca_file: ", "is no plain file"}}},
    {"relays = ( { name = \"a\"; url = \"smtps://x\";\n ca_file = "
     "\"pipe\"; } );\n",
     {{"main.conf:2:", "relays.ca_file: pipe is no plain file", NULL}}},
    {"relays = ( { name = \"a\"; url = \"smtps://x\"; connections = 1001;\n"
     "backoff_first = \"2s\"; backoff_longest = \"1s\"; verify = 1; } );\n",
     {{"main.conf:1:", "relays.connections is out of range", "1 to 1000"},
      {"main.conf:2:", "relays.verify must be true or false", NULL},
      {"main.conf:2:", "relays.backoff_longest must not be less", NULL}}},

    {"relays = ( { name = \"a\"; url = \"smtps://x\"; rate = 14;\n"
     "burst = 0; unconfirmed = 65; },\n"
     "{ name = \"b\"; url = \"smtps://x\"; rate = \"14\"; },\n"
     "{ name = \"c\"; url = \"smtps://x\"; rate = \"14/d\"; },\n"
     "{ name = \"d\"; url = \"smtps://x\"; rate = \"fast\"; },\n"
     "{ name = \"e\"; url = \"smtps://x\"; rate = \"0/s\"; },\n"
     "{ name = \"f\"; url = \"smtps://x\"; rate = \"0.9/h\"; },\n"
     "{ name = \"g\"; url = \"smtps://x\"; rate = \"1000001/s\"; } );\n",
     {{"main.conf:1:", "relays.rate must be a rate in quotes", "\"14/s\""},
      {"main.conf:2:", "relays.unconfirmed is out of range", "1 to 64"},
      {"main.conf:2:", "relays.burst is out of range", "1 to 100000"},
      {"main.conf:3:", "relays.rate: \"14\" does not say in which time",
       "\"14/s\""},
      {"main.conf:4:", "relays.rate: \"14/d\" is no rate", "/s, /m or /h"},
      {"main.conf:5:", "relays.rate: \"fast\" is no rate", "\"14/s\""},
      {"main.conf:6:", "relays.rate: \"0/s\" is no rate", "above 0"},
      {"main.conf:7:", "relays.rate is out of range", "1/h to 1000000/s"},
      {"main.conf:8:", "relays.rate is out of range", "1/h to 1000000/s"}}},
    {"relays = ( { name = \"a\"; url = \"smtps://x\";\n burst = 5; },\n"
     "{ name = \"b\"; url = \"smtps://x\"; connection_age = 60; } );\n",
     {{"main.conf:2:", "relays.burst means nothing without a rate", "add rate"},
      {"main.conf:3:", "relays.connection_age must be a duration", NULL}}},

    /* routes */
    {"relays = ( { name = \"one\"; url = \"smtps://x\"; },\n"
     "{ name = \"two\"; url = \"smtps://y\"; } );\n"
     "routes = ( { name = \"a\"; relays = [ \"one\", \"two\" ];\n"
     "weights = [ 1, 2, 3 ]; },\n"
     "{ name = \"b\"; relays = [ \"one\" ]; weights = [ ]; },\n"
     "{ name = \"c\"; relays = [ \"one\" ]; weights = 3; },\n"
     "{ name = \"d\"; relays = [ \"one\" ]; weights = [ 0 ]; },\n"
     "{ name = \"e\"; relays = [ \"one\" ]; weights = [ 1001 ]; },\n"
     "{ name = \"f\"; relays = [ \"one\", \"owt\" ]; weights = [ 1, 1 ]; },\n"
     "{ name = \"g\"; relays = [ \"one\" ]; weights = [ \"1\" ]; } );\n",
     {{"main.conf:4:", "routes.weights has 3 numbers and routes.relays 2",
       "one for each"},
      {"main.conf:5:", "routes.weights has 0 numbers", NULL},
      {"main.conf:6:", "routes.weights must be whole numbers in brackets",
       "[ 3, 1 ]"},
      {"main.conf:7:", "routes.weights is out of range", "1 to 1000"},
      {"main.conf:8:", "routes.weights is out of range", "1 to 1000"},
      {"main.conf:9:", "there is no relay \"owt\"", NULL},
      {"main.conf:10:", "routes.weights must be a whole number", NULL}}},
    {LOADED_RELAYS "routes = ( { name = \"a\"; relays = [ \"main\",\n"
                   "\"mian\" ]; } );\n",
     {{"main.conf:3:", "there is no relay \"mian\"",
       "did you mean \"main\"?"}}},
    {"relays = ( { name = \"one\"; url = \"smtps://x\"; },\n"
     "{ name = \"two\"; url = \"smtps://y\"; } );\n"
     "routes = ( { name = \"a\"; relays = [ \"one\" \"two\" ]; },\n"
     "{ name = \"b\"; relays = [ \"two\"\n\"one\" \"two\" ]; },\n"
     "{ name = \"c\"; relays = [ \"onetwx\" ]; } );\n",
     {{"main.conf:3:", "there is no relay \"onetwo\"", "comma missing"},
      {"main.conf:5:", "there is no relay \"twoonetwo\"", "comma missing"},
      {"main.conf:6:", "there is no relay \"onetwx\"", "must be in relays"}}},
    {LOADED_RELAYS
     "routes = ( { name = \"a\"; relays = [ \"main\", \"main\" ]; "
     "},\n{ name = \"a\"; relays = [ \"main\" ]; } );\n",
     {{"main.conf:2:", "routes.relays has \"main\" twice", NULL},
      {"main.conf:3:", "routes.name \"a\" is there twice", NULL}}},
    {LOADED_RELAYS "routes = ( { name = \"a\"; relays = [ ]; },\n"
                   "{ name = \"b\"; relays = \"main\"; },\n{ name = \"c\"; "
                   "relays = [ 1 ]; } );\n",
     {{"main.conf:2:", "routes.relays has 0 names", NULL},
      {"main.conf:3:", "routes.relays must be names in brackets", NULL},
      {"main.conf:4:", "routes.relays has an element that is no name", NULL}}},

    /* numbers that libconfig would wrap or misread */
    {LOADED_RELAYS "queue = { capacity = 5000000000; };\n",
     {{"main.conf:2:", "capacity: the number is outside", "2147483647"}}},
    {LOADED_RELAYS "queue = { capacity = 4294967301; };\n",
     {{"main.conf:2:", "capacity: the number is outside", NULL}}},
    {LOADED_RELAYS "queue = { capacity = 2147483648; };\n",
     {{"main.conf:2:", "capacity: the number is outside", NULL}}},
    {LOADED_RELAYS "queue = { capacity = 2147483647; };\n",
     {{"main.conf:2:", "queue.capacity is out of range", NULL}}},
    {LOADED_RELAYS "queue = { capacity = -2147483648; };\n",
     {{"main.conf:2:", "queue.capacity is out of range", NULL}}},
    {LOADED_RELAYS "queue = { capacity = 0x80000000; };\n",
     {{"main.conf:2:", "capacity: the number is outside", NULL}}},
    {LOADED_RELAYS "queue = { capacity = -4294967295; };\n",
     {{"main.conf:2:", "capacity: the number is outside", NULL}}},
    {LOADED_RELAYS "queue = { capacity = 0x100000005; };\n",
     {{"main.conf:2:", "capacity: the number is outside", NULL}}},
    {LOADED_RELAYS "queue = { capacity = 18446744073709551621L; };\n",
     {{"main.conf:2:", "capacity: the number needs more than 64 bits", NULL}}},
    {LOADED_RELAYS "queue = { capacity = 5000000000L; };\n",
     {{"main.conf:2:", "queue.capacity is out of range", NULL}}},
    {LOADED_RELAYS "// 5000000000 \"\nqueue = { /* 5000000000 */ capacity =\n"
                   "5000000000;\nmax_bytes = 30M; };\n",
     {{"main.conf:4:", "capacity: the number is outside", NULL},
      {"main.conf:5:", "max_bytes: a number is followed by letters", "64K"}}},

    /* everything at once, in order */
    {"hostname = \"-\";\nrelays = (\n { name = \"a\"; url = \"x\"; },\n"
     " { name = \"a\"; url = \"smtp://y:0\"; }\n);\nfoo = 1;\n"
     "log = { level = 3; };\nretry = { first = 30s; };\nqueue = { x = 1; };\n",
     {{"main.conf:1:", "hostname", NULL},
      {"main.conf:3:", "relays.url", NULL},
      {"main.conf:4:", "relays.url", "1 to 65535"},
      {"main.conf:4:", "twice", NULL},
      {"main.conf:6:", "unknown key foo", NULL},
      {"main.conf:7:", "log.level must be text", NULL},
      {"main.conf:8:", "first: a number is followed by letters", NULL},
      {"main.conf:9:", "unknown key queue.x", NULL}}},

    /* included files report their own name and line */
    {"@include \"relays.conf\"\nqueue = { capacity = 0; };\n",
     {{"relays.conf:3:", "unknown key relays.nonsense", NULL},
      {"main.conf:2:", "queue.capacity is out of range", NULL}}},
    {LOADED_RELAYS "  @include \"gone.conf\"\n",
     {{"main.conf:2:", "cannot open gone.conf", "No such file"}}},
    {LOADED_RELAYS "@include \"loop.conf\"\n",
     {{"loop.conf:1:", "more than 10 deep", "include itself?"}}},
    {LOADED_RELAYS "x = 1; @include \"relays.conf\"\n",
     {{"main.conf:2:", "on a line of its own", NULL}}},
    {LOADED_RELAYS "@include \"syntax.conf\"\nhostname = \"a\";\n",
     {{"syntax.conf:2:", "syntax error", NULL}}},
    {LOADED_RELAYS "@include \"line.conf\" bogus_key = 1;\nother_key = 2;\n",
     {{"main.conf:2:", "unknown key bogus_key", NULL},
      {"main.conf:3:", "unknown key other_key", NULL}}},
    {LOADED_RELAYS "@include \"pipe\"\n",
     {{"main.conf:2:", "pipe is no plain file", NULL}}},
    {LOADED_RELAYS "@include \"nul.conf\"\n",
     {{"nul.conf:2:", "NUL byte", NULL}}},
};

static int open_folder(void **state)
{
    static struct scratch scratch;
    const char relays[] = "relays = ( { name = \"a\";\n url = \"smtps://x\";\n "
                          "nonsense = 1; } );";
    const char loop[] = "@include \"loop.conf\"\n";
    const char syntax[] = "\nqueue = [;\n";
    const char line[] = "hostname = \"a\";\n\n";
    const char twice[] = "\nlog = { };\n";
    const char no_pem[] = "-----BEGIN PRIVATE KEY-----\nCERTIFICATE\n";
    const char nul[] = "\nlog = {\0};\n";
    scratch_open(&scratch);
    (void)scratch_write(&scratch, "relays.conf", relays, strlen(relays), 0600);
    (void)scratch_write(&scratch, "loop.conf", loop, strlen(loop), 0600);
    (void)scratch_write(&scratch, "syntax.conf", syntax, strlen(syntax), 0600);
    (void)scratch_write(&scratch, "line.conf", line, strlen(line), 0600);
    (void)scratch_write(&scratch, "nul.conf", nul, sizeof(nul) - 1, 0600);
    (void)scratch_write(&scratch, "twice.conf", twice, strlen(twice), 0600);
    (void)scratch_write(&scratch, "no.pem", no_pem, strlen(no_pem), 0600);
    (void)scratch_write(&scratch, "good.password", "pw\n", 3, 0600);
    (void)scratch_write(&scratch, "open.password", "pw\n", 3, 0604);
    assert_int_equal(mkfifo(scratch_path(&scratch, "pipe"), 0600), 0);
    *state = &scratch;
    return 0;
}

static int close_folder(void **state)
{
    scratch_close(*state);
    return 0;
}

static bool matches(const struct want *want, const char *line, size_t len)
{
    struct str text = str_of(line, len);
    return str_starts(text, str_from(want->where)) &&
           str_contains(text, str_from(want->words)) &&
           (want->more == NULL || str_contains(text, str_from(want->more)));
}

static bool check_bad(struct scratch *scratch, const struct bad *bad)
{
    struct loaded l;
    size_t wanted = 0;
    loaded_open(&l, scratch, bad->text);
    const char *line = l.problems;
    bool right = true;
    for (; bad->want[wanted].where != NULL; wanted++) {
        size_t len = strcspn(line, "\n");
        right = right && matches(&bad->want[wanted], line, len);
        line += line[len] == '\n' ? len + 1 : len;
    }
    right = right && loaded_count(l.problems) == wanted;
    if (!right)
        print_error("for the config\n%s\nthe problems were\n%s\n", bad->text,
                    l.problems);
    assert_int_equal(l.code, ERR_INVALID);
    assert_null(strstr(l.problems, "hunter2"));
    loaded_close(&l);
    return right;
}

static void every_problem_is_named_with_file_and_line(void **state)
{
    size_t wrong = 0;
    for (size_t i = 0; i < sizeof(bad_files) / sizeof(bad_files[0]); i++)
        wrong += check_bad(*state, &bad_files[i]) ? 0 : 1;
    assert_int_equal(wrong, 0);
}

static void file_that_is_not_there_is_a_problem(void **state)
{
    struct settings *settings = NULL;
    struct buf problems;
    (void)state;
    buf_init(&problems, 4096);
    assert_int_equal(
        config_load("/no/such/file.conf", &settings, &problems, NULL),
        ERR_INVALID);
    assert_null(settings);
    buf_add_char(&problems, '\0');
    assert_string_equal(problems.data,
                        "/no/such/file.conf: cannot open: No such file or "
                        "directory\n");
    buf_fini(&problems);
}

static void flood_of_problems_is_cut_and_counted(void **state)
{
    struct buf text;
    struct loaded l;
    buf_init(&text, 1 << 20);
    buf_add_text(&text, LOADED_RELAYS);
    for (int i = 0; i < 700; i++)
        buf_add_format(&text, "unknown%d = 1;\n", i);
    buf_add_char(&text, '\0');
    loaded_open(&l, *state, text.data);
    assert_int_equal(loaded_count(l.problems), 501);
    assert_non_null(strstr(l.problems, "main.conf:1: and 200 more\n"));
    loaded_close(&l);
    buf_fini(&text);
}

static void config_over_the_size_limit_is_refused(void **state)
{
    struct buf text;
    struct loaded l;
    buf_init(&text, 8 << 20);
    memset(buf_reserve(&text, (4 << 20) + 1), ' ', (4 << 20) + 1);
    text.len = (4 << 20) + 1;
    buf_add_char(&text, '\0');
    loaded_open(&l, *state, text.data);
    assert_non_null(strstr(l.problems, "is larger than 4194304 bytes"));
    loaded_close(&l);
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_problem_is_named_with_file_and_line),
        cmocka_unit_test(file_that_is_not_there_is_a_problem),
        cmocka_unit_test(flood_of_problems_is_cut_and_counted),
        cmocka_unit_test(config_over_the_size_limit_is_refused),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
