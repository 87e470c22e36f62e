#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/config/loaded.h"

#define SECONDS(n) ((n)*1000LL)
#define MINUTES(n) ((n)*60000LL)
#define HOURS(n)   ((n)*3600000LL)
#define DAYS(n)    ((n)*24 * 3600000LL)

#define PEM "-----BEGIN CERTIFICATE-----\n"

static int open_folder(void **state)
{
    static struct scratch scratch;
    scratch_open(&scratch);
    (void)scratch_write(&scratch, "main.password", "s3cret \n", 8, 0640);
    (void)scratch_write(&scratch, "ca.pem", PEM, strlen(PEM), 0644);
    *state = &scratch;
    return 0;
}

static int close_folder(void **state)
{
    scratch_close(*state);
    return 0;
}

static void load_good(struct loaded *l, void **state, const char *text)
{
    loaded_open(l, *state, text);
    assert_string_equal(l->problems, "");
    assert_int_equal(l->code, ERR_NONE);
}

static void smallest_config_gives_the_documented_defaults(void **state)
{
    struct loaded l;
    load_good(&l, state, LOADED_RELAYS);
    const struct settings *s = l.settings;
    assert_string_equal(l.warnings, "");
    assert_int_equal(s->spool.backend, SETTINGS_SPOOL_SQLITE);
    assert_string_equal(s->spool.path, "/var/lib/postrider/spool.db");
    assert_int_equal(s->spool.max_jobs, 2000000);
    assert_int_equal(s->spool.max_bytes, 8LL << 30);
    assert_int_equal(s->queue.capacity, 1024);
    assert_int_equal(s->queue.max_bytes, 64LL << 20);
    assert_int_equal(s->workers.mode, SETTINGS_WORKERS_THREADS);
    assert_int_equal(s->workers.count, 2);
    assert_int_equal(s->retry.first_ms, SECONDS(30));
    assert_true(s->retry.factor == 2.0);
    assert_int_equal(s->retry.longest_ms, HOURS(4));
    assert_true(s->retry.jitter == 0.1);
    assert_int_equal(s->retry.give_up_ms, DAYS(5));
    assert_int_equal(s->limits.frame_bytes, 32LL << 20);
    assert_int_equal(s->limits.message_bytes, 32LL << 20);
    assert_int_equal(s->limits.recipients, 1000);
    assert_int_equal(s->limits.connections, 1024);
    assert_int_equal(s->limits.requests_in_flight, 64);
    assert_int_equal(s->limits.pending_submits, 4096);
    assert_int_equal(s->limits.idle_ms, MINUTES(5));
    assert_int_equal(s->limits.full_wait_ms, SECONDS(2));
    assert_int_equal(s->limits.wait_ms, MINUTES(5));
    assert_int_equal(s->history.keep_ms, DAYS(7));
    assert_int_equal(s->history.max_jobs, 500000);
    assert_int_equal(s->idempotency.window_ms, HOURS(24));
    assert_int_equal(s->idempotency.max_keys, 5000000);
    assert_int_equal(s->shutdown.drain_ms, SECONDS(30));
    assert_string_equal(s->log_level, "info");
    assert_true(strlen(s->hostname) > 0);
    loaded_close(&l);
}

static void relay_has_the_documented_defaults(void **state)
{
    struct loaded l;
    load_good(&l, state, LOADED_RELAYS);
    assert_int_equal(l.settings->relay_count, 1);
    const struct settings_relay *r = &l.settings->relays[0];
    assert_string_equal(r->name, "main");
    assert_string_equal(r->url, "smtps://mx.example.com");
    assert_string_equal(r->host, "mx.example.com");
    assert_int_equal(r->port, 465);
    assert_int_equal(r->tls, SETTINGS_TLS_IMPLICIT);
    assert_null(r->username);
    assert_null(r->password);
    assert_null(r->ca_file);
    assert_true(r->verify);
    assert_int_equal(r->connections, 10);
    assert_int_equal(r->recipients_per_message, 100);
    assert_int_equal(r->jobs_per_connection, 1000);
    assert_int_equal(r->connect_timeout_ms, SECONDS(30));
    /* RFC 5321 section 4.5.3.2 */
    assert_int_equal(r->mail_timeout_ms, MINUTES(5));
    assert_int_equal(r->rcpt_timeout_ms, MINUTES(5));
    assert_int_equal(r->data_timeout_ms, MINUTES(2));
    assert_int_equal(r->body_timeout_ms, MINUTES(3));
    assert_int_equal(r->final_timeout_ms, MINUTES(10));
    assert_int_equal(r->idle_timeout_ms, SECONDS(8));
    assert_int_equal(r->backoff_first_ms, SECONDS(1));
    assert_int_equal(r->backoff_longest_ms, MINUTES(5));
    assert_int_equal(r->connection_age_ms, MINUTES(10));
    assert_true(r->pipelining);
    assert_true(r->chunking);
    assert_int_equal(r->unconfirmed, 1);
    assert_true(r->rate_per_s == 0.0);
    assert_int_equal(r->burst, 1);
    assert_null(l.settings->routes[0].weights);
    loaded_close(&l);
}

static void speed_of_a_relay_is_read_as_written(void **state)
{
    struct loaded l;
    load_good(&l, state,
              "relays = ( { name = \"a\"; url = \"smtps://a\"; rate = "
              "\"14/s\"; burst = 3; pipelining = false; chunking = false; "
              "connection_age = \"0\"; },\n"
              "{ name = \"b\"; url = \"smtps://b\"; rate = \"600/m\"; "
              "unconfirmed = 64; },\n"
              "{ name = \"c\"; url = \"smtps://c\"; rate = \"50000/h\"; },\n"
              "{ name = \"d\"; url = \"smtps://d\"; rate = \"0.5/s\"; },\n"
              "{ name = \"e\"; url = \"smtps://e\"; rate = \"259.5/s\"; } "
              ");\n");
    static const struct {
        double per_s;
        int64_t burst;
    } rows[] = {
        {14.0, 3}, {10.0, 1}, {50000.0 / 3600, 1}, {0.5, 1}, {259.5, 25}};
    const struct settings_relay *r = l.settings->relays;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_true(r[i].rate_per_s > rows[i].per_s * 0.999999);
        assert_true(r[i].rate_per_s < rows[i].per_s * 1.000001);
        assert_int_equal(r[i].burst, rows[i].burst);
    }
    assert_false(r[0].pipelining);
    assert_false(r[0].chunking);
    assert_int_equal(r[0].connection_age_ms, 0);
    assert_int_equal(r[1].unconfirmed, 64);
    assert_string_equal(l.warnings, "");
    loaded_close(&l);
}

static void unconfirmed_without_chunking_is_warned_about(void **state)
{
    struct loaded l;
    load_good(&l, state,
              "relays = ( { name = \"a\"; url = \"smtps://a\"; chunking = "
              "false;\n unconfirmed = 2; },\n"
              "{ name = \"b\"; url = \"smtps://b\"; unconfirmed = 2;\n"
              "pipelining = false; } );\n");
    assert_int_equal(loaded_count(l.warnings), 2);
    assert_non_null(strstr(l.warnings, "main.conf:2: unconfirmed of relay a"));
    assert_non_null(strstr(l.warnings, "main.conf:3: unconfirmed of relay b"));
    loaded_close(&l);
}

static void without_listen_there_are_tcp_udp_and_unix(void **state)
{
    struct loaded l;
    load_good(&l, state, LOADED_RELAYS);
    const struct settings *s = l.settings;
    assert_int_equal(s->listen_count, 3);
    assert_int_equal(s->listen[0].type, SETTINGS_LISTEN_TCP);
    assert_string_equal(s->listen[0].address, "127.0.0.1");
    assert_int_equal(s->listen[0].port, 7788);
    assert_null(s->listen[0].path);
    assert_int_equal(s->listen[1].type, SETTINGS_LISTEN_UDP);
    assert_string_equal(s->listen[1].address, "127.0.0.1");
    assert_int_equal(s->listen[1].port, 7788);
    assert_int_equal(s->listen[2].type, SETTINGS_LISTEN_UNIX);
    assert_string_equal(s->listen[2].path, "/run/postrider/postrider.sock");
    assert_int_equal(s->listen[2].mode, 0660);
    assert_null(s->listen[2].address);
    loaded_close(&l);
}

static void listeners_are_read_as_written(void **state)
{
    struct loaded l;
    struct scratch *scratch = *state;
    load_good(&l, state,
              LOADED_RELAYS
              "listen = (\n { type = \"tcp\"; address = \"::1\"; port = 0; },\n"
              "{ type = \"tcp\"; port = 0; },\n{ type = \"tcp\"; port = 0; },\n"
              "{ type = \"unix\"; path = \"a.sock\"; mode = \"600\"; },\n"
              "{ type = \"unix\"; path = \"/b.sock\"; },\n"
              "{ type = \"udp\"; address = \"*\"; insecure = true; } );\n");
    const struct settings *s = l.settings;
    assert_int_equal(s->listen_count, 6);
    assert_string_equal(s->listen[0].address, "::1");
    assert_int_equal(s->listen[0].port, 0);
    /* a relative path is beside the file */
    assert_string_equal(s->listen[3].path, scratch_path(scratch, "a.sock"));
    assert_int_equal(s->listen[3].mode, 0600);
    assert_string_equal(s->listen[4].path, "/b.sock");
    assert_true(s->listen[5].insecure);
    assert_int_equal(loaded_count(l.warnings), 1);
    assert_non_null(
        strstr(l.warnings, "main.conf:8: anyone who reaches udp *"));
    loaded_close(&l);
}

static void secrets_come_from_files_and_the_environment(void **state)
{
    struct loaded l;
    assert_int_equal(setenv("POSTRIDER_TEST_PASSWORD", "other s3cret", 1), 0);
    load_good(&l, state,
              "relays = ( { name = \"a\"; url = \"smtp://x:2525\"; username = "
              "\"u\";\n password_file = \"main.password\"; ca_file = "
              "\"ca.pem\"; },\n { name = \"b\"; url = \"SMTPS://[2001:db8::1]\""
              "; username = \"v\";\n password_env = "
              "\"POSTRIDER_TEST_PASSWORD\"; } );\n");
    const struct settings_relay *r = l.settings->relays;
    assert_string_equal(r[0].username, "u");
    assert_string_equal(r[0].password, "s3cret ");
    assert_int_equal(r[0].tls, SETTINGS_TLS_STARTTLS);
    assert_int_equal(r[0].port, 2525);
    assert_string_equal(r[0].ca_file, scratch_path(*state, "ca.pem"));
    assert_string_equal(r[1].password, "other s3cret");
    assert_string_equal(r[1].host, "2001:db8::1");
    assert_string_equal(l.warnings, "");
    loaded_close(&l);
}

static void certificates_of_every_name_are_taken(void **state)
{
    static const char *const files[] = {
        "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n",
        "-----BEGIN TRUSTED CERTIFICATE-----\n",
        "-----BEGIN X509 CERTIFICATE-----\n",
        "# Our CA\n\n-----BEGIN CERTIFICATE-----\nx\n",
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct loaded l;
        (void)scratch_write(*state, "some.pem", files[i], strlen(files[i]),
                            0644);
        load_good(&l, state,
                  "relays = ( { name = \"a\"; url = \"smtps://a\"; "
                  "ca_file = \"some.pem\"; } );\n");
        loaded_close(&l);
    }
}

static void unsafe_relays_are_warned_about_by_name(void **state)
{
    struct loaded l;
    load_good(&l, state,
              "relays = ( { name = \"plain\"; url = \"smtp://a\";\n"
              "tls = \"none\"; },\n"
              "{ name = \"worse\"; url = \"smtp://b\"; username = \"u\";\n"
              "password_file = \"main.password\"; tls = \"none\"; },\n"
              "{ name = \"blind\"; url = \"smtps://c\"; ca_file = \"ca.pem\";\n"
              "verify = false; } );\n"
              "spool = { backend = \"memory\"; path = \"x\"; };\n");
    assert_int_equal(l.settings->relays[0].tls, SETTINGS_TLS_NONE);
    assert_int_equal(l.settings->relays[0].port, 587);
    assert_false(l.settings->relays[2].verify);
    assert_int_equal(loaded_count(l.warnings), 5);
    assert_non_null(strstr(l.warnings, "main.conf:2: TLS of relay plain is off"
                                       ": mail"));
    assert_non_null(strstr(l.warnings, "main.conf:4: TLS of relay worse is off"
                                       ": its PASSWORD"));
    assert_non_null(strstr(
        l.warnings, "main.conf:6: TLS verification of relay blind is off"));
    assert_non_null(strstr(l.warnings, "main.conf:5: ca_file of relay blind"));
    assert_non_null(strstr(l.warnings, "main.conf:7: spool.path is not used"));
    assert_null(strstr(l.warnings, "s3cret"));
    loaded_close(&l);
}

#define TWO_RELAYS                                                             \
    "relays = ( { name = \"a\"; url = \"smtps://a\"; },\n"                     \
    "{ name = \"b\"; url = \"smtps://b\"; } );\n"

static void without_routes_default_has_all_relays_in_order(void **state)
{
    struct loaded l;
    load_good(&l, state, TWO_RELAYS);
    assert_int_equal(l.settings->route_count, 1);
    assert_string_equal(l.settings->routes[0].name, "default");
    assert_int_equal(l.settings->routes[0].relay_count, 2);
    assert_int_equal(l.settings->routes[0].relays[0], 0);
    assert_int_equal(l.settings->routes[0].relays[1], 1);
    loaded_close(&l);
}

static void routes_without_default_get_one_added(void **state)
{
    struct loaded l;
    load_good(&l, state,
              TWO_RELAYS
              "routes = ( { name = \"x\"; relays = ( \"b\" ); } );\n");
    assert_int_equal(l.settings->route_count, 2);
    assert_string_equal(l.settings->routes[0].name, "x");
    assert_int_equal(l.settings->routes[0].relay_count, 1);
    assert_int_equal(l.settings->routes[0].relays[0], 1);
    assert_string_equal(l.settings->routes[1].name, "default");
    assert_int_equal(l.settings->routes[1].relay_count, 2);
    loaded_close(&l);
}

static void default_route_may_be_written(void **state)
{
    struct loaded l;
    load_good(&l, state,
              TWO_RELAYS "routes = ( { name = \"default\"; relays = [ \"b\", "
                         "\"a\" ]; } );\n");
    assert_int_equal(l.settings->route_count, 1);
    assert_int_equal(l.settings->routes[0].relays[0], 1);
    assert_int_equal(l.settings->routes[0].relays[1], 0);
    loaded_close(&l);
}

static void weights_stand_beside_their_relays(void **state)
{
    struct loaded l;
    load_good(&l, state,
              TWO_RELAYS
              "routes = ( { name = \"x\"; relays = [ \"b\", \"a\" ]; weights "
              "= [ 3, 1 ]; },\n{ name = \"y\"; relays = [ \"a\" ]; weights = "
              "( 1000L ); } );\n");
    assert_int_equal(l.settings->routes[0].relays[0], 1);
    assert_int_equal(l.settings->routes[0].weights[0], 3);
    assert_int_equal(l.settings->routes[0].weights[1], 1);
    assert_int_equal(l.settings->routes[1].weights[0], 1000);
    assert_null(l.settings->routes[2].weights);
    loaded_close(&l);
}

static void values_are_read_in_every_spelling(void **state)
{
    struct loaded l;
    load_good(&l, state,
              "@include \"relays.conf\"\r\n"
              "retry : { factor = 3, longest : \"2d\"; jitter = 0; };\r\n"
              "queue = { capacity = 0x10; max_bytes = \"1\" \"G\" };\r\n"
              "workers = { count = 64L; }\r\n"
              "limits = { full_wait = \"0\"; message = \"1048576\"; };\r\n"
              "# capacity = 5000000000 \"\r\n"
              "/* \" */ hostname = \"mx-1.example.org\"; // \"\r\n"
              "spool = { max_bytes = \"1M\"; max_jobs = +5; }; "
              "shutdown = { drain = \"250ms\"; };");
    const struct settings *s = l.settings;
    assert_string_equal(s->relays[0].name, "included");
    assert_true(s->retry.factor == 3.0);
    assert_true(s->retry.jitter == 0.0);
    assert_int_equal(s->retry.longest_ms, DAYS(2));
    assert_int_equal(s->queue.capacity, 16);
    assert_int_equal(s->queue.max_bytes, 1LL << 30);
    assert_int_equal(s->workers.count, 64);
    assert_int_equal(s->limits.full_wait_ms, 0);
    assert_int_equal(s->limits.message_bytes, 1 << 20);
    assert_int_equal(s->spool.max_bytes, 1 << 20);
    assert_int_equal(s->spool.max_jobs, 5);
    assert_int_equal(s->shutdown.drain_ms, 250);
    assert_string_equal(s->hostname, "mx-1.example.org");
    loaded_close(&l);
}

static int write_included(void **state)
{
    const char text[] = "relays = ( { name = \"included\";\n"
                        "url = \"smtps://x\"; } );";
    (void)scratch_write(*state, "relays.conf", text, strlen(text), 0600);
    return 0;
}

static void two_configs_can_be_loaded_side_by_side(void **state)
{
    struct loaded a;
    struct loaded b;
    load_good(&a, state, LOADED_RELAYS "workers = { count = 3; };\n");
    load_good(&b, state, LOADED_RELAYS "workers = { count = 4; };\n");
    assert_int_equal(a.settings->workers.count, 3);
    assert_int_equal(b.settings->workers.count, 4);
    loaded_close(&a);
    loaded_close(&b);
    settings_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smallest_config_gives_the_documented_defaults),
        cmocka_unit_test(relay_has_the_documented_defaults),
        cmocka_unit_test(speed_of_a_relay_is_read_as_written),
        cmocka_unit_test(unconfirmed_without_chunking_is_warned_about),
        cmocka_unit_test(without_listen_there_are_tcp_udp_and_unix),
        cmocka_unit_test(listeners_are_read_as_written),
        cmocka_unit_test(secrets_come_from_files_and_the_environment),
        cmocka_unit_test(certificates_of_every_name_are_taken),
        cmocka_unit_test(unsafe_relays_are_warned_about_by_name),
        cmocka_unit_test(without_routes_default_has_all_relays_in_order),
        cmocka_unit_test(routes_without_default_get_one_added),
        cmocka_unit_test(default_route_may_be_written),
        cmocka_unit_test(weights_stand_beside_their_relays),
        cmocka_unit_test_setup(values_are_read_in_every_spelling,
                               write_included),
        cmocka_unit_test(two_configs_can_be_loaded_side_by_side),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
