#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/net.h"
#include "tests/support/scratch.h"

#define DEADLINE_MS 20000

static int open_folder(void **state)
{
    static struct scratch scratch;
    scratch_open(&scratch);
    *state = &scratch;
    return 0;
}

static int close_folder(void **state)
{
    scratch_close(*state);
    return 0;
}

static void addresses_are_read_and_named(void **state)
{
    static const struct {
        const char *host;
        unsigned port;
        const char *name; /* NULL: refused */
        bool is_loopback;
    } table[] = {
        {"127.0.0.1", 7788, "127.0.0.1:7788", true},
        {"127.255.0.3", 0, "127.255.0.3:0", true},
        {"localhost", 1, "127.0.0.1:1", true},
        {"*", 65535, "0.0.0.0:65535", false},
        {"192.0.2.1", 25, "192.0.2.1:25", false},
        {"::1", 25, "[::1]:25", true},
        {"::", 25, "[::]:25", false},
        {"2001:DB8::1", 25, "[2001:db8::1]:25", false},
        {"::ffff:192.0.2.1", 25, "[::ffff:192.0.2.1]:25", false},
        {"127.0.0.1", 65536, NULL, false},
        {"127.0.0", 25, NULL, false},
        {"127.0.0.256", 25, NULL, false},
        {"127.0.0.1 ", 25, NULL, false},
        {"[::1]", 25, NULL, false},
        {"mx.example.com", 25, NULL, false},
        {"", 25, NULL, false},
        {"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa", 25, NULL, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct net_address address;
        char name[NET_NAME_MAX];
        enum err_code code = net_address_parse(str_from(table[i].host),
                                               table[i].port, &address, NULL);
        assert_int_equal(code, table[i].name != NULL ? ERR_NONE : ERR_INVALID);
        if (code != ERR_NONE)
            continue;
        net_address_name(&address, name);
        assert_string_equal(name, table[i].name);
        assert_int_equal(net_address_is_loopback(&address),
                         table[i].is_loopback);
        assert_int_equal(net_address_port(&address), table[i].port);
    }
    struct net_address address;
    assert_int_equal(net_address_parse(STR("127.0.0.1\0x"), 1, &address, NULL),
                     ERR_INVALID);
}

static void unix_paths_must_fit(void **state)
{
    char path[200];
    char name[NET_NAME_MAX];
    struct net_address address;
    (void)state;
    memset(path, 'x', sizeof(path));
    path[107] = '\0';
    assert_int_equal(net_address_unix(path, &address, NULL), ERR_NONE);
    net_address_name(&address, name);
    assert_int_equal(strlen(name), strlen("unix:") + 107);
    assert_false(net_address_is_loopback(&address));
    assert_int_equal(net_address_port(&address), 0);
    path[107] = 'x';
    path[108] = '\0';
    assert_int_equal(net_address_unix(path, &address, NULL), ERR_INVALID);
    assert_int_equal(net_address_unix("", &address, NULL), ERR_INVALID);
}

static void host_and_port_are_split(void **state)
{
    static const struct {
        const char *text;
        const char *host; /* NULL: refused */
        unsigned port;
    } table[] = {
        {"a:1", "a", 1},
        {"mx.example.com:65535", "mx.example.com", 65535},
        {"[::1]:25", "::1", 25},
        {"127.0.0.1:0", "127.0.0.1", 0},
        {"[a]:1", "a", 1},
        {"a", NULL, 0},
        {"a:", NULL, 0},
        {":1", NULL, 0},
        {"[]:1", NULL, 0},
        {"::1:25", NULL, 0},
        {"a:65536", NULL, 0},
        {"a:-1", NULL, 0},
        {"a: 1", NULL, 0},
        {"", NULL, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct str host = STR("untouched");
        unsigned port = 4711;
        enum err_code code =
            net_split_host_port(str_from(table[i].text), &host, &port, NULL);
        bool right = table[i].host == NULL
                         ? code == ERR_INVALID && port == 4711
                         : code == ERR_NONE && port == table[i].port &&
                               str_equal(host, str_from(table[i].host));
        if (!right)
            fail_msg("\"%s\"", table[i].text);
    }
}

static void assert_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
}

static void assert_flags(int fd, bool is_blocking)
{
    assert_int_equal((fcntl(fd, F_GETFL) & O_NONBLOCK) == 0, is_blocking);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

/* A byte through a new connection to a listening socket. */
static void assert_connects(int listener, int client)
{
    char byte = 0;
    assert_readable(listener);
    int server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(server >= 0);
    assert_int_equal(write(client, "x", 1), 1);
    assert_readable(server);
    assert_int_equal(read(server, &byte, 1), 1);
    assert_int_equal(byte, 'x');
    assert_int_equal(close(server), 0);
}

static void tcp_listens_on_a_free_port_and_takes_connections(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "localhost"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct net_address address;
        struct net_address again;
        struct err err;
        int fd = -1;
        int client = -1;
        int second = -1;
        assert_int_equal(
            net_address_parse(str_from(hosts[i]), 0, &address, NULL), ERR_NONE);
        assert_int_equal(net_listen_tcp(&address, &fd, NULL), ERR_NONE);
        assert_flags(fd, false);
        net_local_address(fd, &again);
        unsigned port = net_address_port(&again);
        assert_in_range(port, 1, 65535);
        assert_int_equal(net_connect_tcp(str_from(hosts[i]), port, DEADLINE_MS,
                                         &client, &err),
                         ERR_NONE);
        assert_flags(client, true);
        net_set_nodelay(client);
        assert_connects(fd, client);
        assert_int_equal(net_listen_tcp(&again, &second, &err), ERR_EXISTS);
        assert_non_null(strstr(err.text, "cannot listen on 127.0.0.1:"));
        assert_int_equal(close(client), 0);
        assert_int_equal(close(fd), 0);
        assert_int_equal(
            net_connect_tcp(STR("127.0.0.1"), port, DEADLINE_MS, &client, &err),
            ERR_SYSTEM);
        assert_non_null(strstr(err.text, "Connection refused"));
    }
}

static void connecting_refuses_nonsense(void **state)
{
    int fd = -1;
    (void)state;
    assert_int_equal(net_connect_tcp(STR(""), 1, 1, &fd, NULL), ERR_INVALID);
    assert_int_equal(net_connect_tcp(STR("127.0.0.1"), 65536, 1, &fd, NULL),
                     ERR_INVALID);
    assert_int_equal(net_connect_tcp(STR("127.0.0.1\0.x"), 1, 1, &fd, NULL),
                     ERR_INVALID);
    assert_int_equal(fd, -1);
}

/* A listener with no room: the kernel leaves further connects unanswered. */
static void connecting_ends_at_its_deadline(void **state)
{
    enum { CLIENTS = 8 };
    struct net_address address;
    struct err err;
    int clients[CLIENTS];
    size_t count = 0;
    enum err_code code = ERR_NONE;
    (void)state;
    assert_int_equal(net_address_parse(STR("127.0.0.1"), 0, &address, NULL),
                     ERR_NONE);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(
        bind(fd, (const struct sockaddr *)&address.storage, address.len), 0);
    assert_int_equal(listen(fd, 0), 0);
    net_local_address(fd, &address);
    while (count < CLIENTS && code == ERR_NONE) {
        code = net_connect_tcp(STR("127.0.0.1"), net_address_port(&address),
                               200, &clients[count], &err);
        count += code == ERR_NONE ? 1 : 0;
    }
    assert_int_equal(code, ERR_TIMEOUT);
    assert_non_null(strstr(err.text, "timed out"));
    while (count > 0)
        (void)close(clients[--count]);
    (void)close(fd);
}

static void udp_port_is_not_shared(void **state)
{
    struct net_address address;
    struct err err;
    int fd = -1;
    int second = -1;
    char byte = 0;
    (void)state;
    assert_int_equal(net_address_parse(STR("127.0.0.1"), 0, &address, NULL),
                     ERR_NONE);
    assert_int_equal(net_bind_udp(&address, &fd, NULL), ERR_NONE);
    assert_flags(fd, false);
    net_local_address(fd, &address);
    assert_int_equal(net_bind_udp(&address, &second, &err), ERR_EXISTS);
    assert_non_null(strstr(err.text, "cannot bind 127.0.0.1:"));
    int client = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(client >= 0);
    assert_int_equal(sendto(client, "x", 1, 0,
                            (const struct sockaddr *)&address.storage,
                            address.len),
                     1);
    assert_readable(fd);
    assert_int_equal(recv(fd, &byte, 1, 0), 1);
    assert_int_equal(byte, 'x');
    (void)close(client);
    (void)close(fd);
}

static void unix_socket_has_its_mode_and_takes_connections(void **state)
{
    static const mode_t modes[] = {0600, 0660, 0666};
    for (size_t i = 0; i < 3; i++) {
        const char *path = scratch_path(*state, "a.sock");
        struct stat st;
        int fd = -1;
        int client = -1;
        assert_int_equal(net_listen_unix(path, modes[i], &fd, NULL), ERR_NONE);
        assert_flags(fd, false);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, modes[i]);
        assert_int_equal(net_connect_unix(path, &client, NULL), ERR_NONE);
        assert_int_equal(net_peer_uid(client), getuid());
        assert_connects(fd, client);
        (void)close(client);
        (void)close(fd);
        assert_int_equal(unlink(path), 0);
    }
}

static void stale_unix_socket_is_replaced_and_a_live_one_is_not(void **state)
{
    const char *path = scratch_path(*state, "a.sock");
    struct err err;
    int fd = -1;
    int second = -1;
    int client = -1;
    assert_int_equal(net_listen_unix(path, 0600, &fd, NULL), ERR_NONE);
    assert_int_equal(net_listen_unix(path, 0600, &second, &err), ERR_EXISTS);
    assert_non_null(strstr(err.text, "another program listens"));
    assert_int_equal(second, -1);
    assert_int_equal(net_connect_unix(path, &client, NULL), ERR_NONE);
    (void)close(client);
    (void)close(fd); /* as a daemon that was killed leaves it */
    assert_int_equal(net_connect_unix(path, &client, &err), ERR_SYSTEM);
    assert_int_equal(net_listen_unix(path, 0600, &second, &err), ERR_NONE);
    assert_int_equal(net_connect_unix(path, &client, NULL), ERR_NONE);
    (void)close(client);
    (void)close(second);
}

static void file_that_is_no_socket_is_left_alone(void **state)
{
    const char *path = scratch_write(*state, "file", "x", 1, 0600);
    struct stat st;
    struct err err;
    int fd = -1;
    assert_int_equal(net_listen_unix(path, 0600, &fd, &err), ERR_EXISTS);
    assert_non_null(strstr(err.text, "is no socket"));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 1);
    assert_int_equal(net_listen_unix("/no/such/folder/a.sock", 0600, &fd, &err),
                     ERR_NOT_FOUND);
    assert_int_equal(fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read_and_named),
        cmocka_unit_test(unix_paths_must_fit),
        cmocka_unit_test(host_and_port_are_split),
        cmocka_unit_test(tcp_listens_on_a_free_port_and_takes_connections),
        cmocka_unit_test(connecting_refuses_nonsense),
        cmocka_unit_test(connecting_ends_at_its_deadline),
        cmocka_unit_test(udp_port_is_not_shared),
        cmocka_unit_test(unix_socket_has_its_mode_and_takes_connections),
        cmocka_unit_test(stale_unix_socket_is_replaced_and_a_live_one_is_not),
        cmocka_unit_test(file_that_is_no_socket_is_left_alone),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
