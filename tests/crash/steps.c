/*
 * For tests of the preloaded libraries: does to files what its arguments say,
 * one step an argument, and prints a line for each: "ok", or the error's
 * number. "NAME" stands for a path, which is also what the file is called
 * from "open" to "close".
 *
 *   open|opensync|openout NAME    O_RDWR, with O_DSYNC, O_WRONLY; made if need
 *   write NAME LENGTH LETTER      at its position
 *   pwrite NAME AT LENGTH LETTER
 *   truncate NAME SIZE    fsync NAME    fdatasync NAME    close NAME
 *   syncdir NAME    mkdir NAME    unlink NAME    rename NAME NAME
 *   map NAME    send
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_SIZE 256
#define OPEN_MAX  16

struct step {
    char verb[16];
    char words[3][NAME_SIZE];
};

static struct {
    char name[NAME_SIZE];
    int fd;
} files[OPEN_MAX];

static int slot_of(const char *name)
{
    for (int i = 0; i < OPEN_MAX; i++)
        if (strcmp(files[i].name, name) == 0)
            return i;
    (void)fprintf(stderr, "%s is not open\n", name);
    exit(64);
}

static int fd_of(const struct step *s)
{
    return files[slot_of(s->words[0])].fd;
}

static long number(const char *text)
{
    char *end;
    long n = strtol(text, &end, 10);
    if (end == text || *end != '\0') {
        (void)fprintf(stderr, "%s is not a number\n", text);
        exit(64);
    }
    return n;
}

static long open_as(const struct step *s, int flags)
{
    int i = slot_of("");
    int fd = open(s->words[0], flags | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0) {
        files[i].fd = fd;
        (void)snprintf(files[i].name, sizeof(files[i].name), "%s", s->words[0]);
    }
    return fd;
}

static long do_open(const struct step *s)
{
    return open_as(s, O_RDWR);
}

static long do_opensync(const struct step *s)
{
    return open_as(s, O_RDWR | O_DSYNC);
}

static long do_openout(const struct step *s)
{
    return open_as(s, O_WRONLY);
}

static long do_close(const struct step *s)
{
    int i = slot_of(s->words[0]);
    files[i].name[0] = '\0';
    return close(files[i].fd);
}

static char *letters(const char *len, const char *letter)
{
    char *data = malloc((size_t)number(len) + 1);
    if (data == NULL)
        exit(70);
    memset(data, letter[0], (size_t)number(len));
    return data;
}

static long do_write(const struct step *s)
{
    char *data = letters(s->words[1], s->words[2]);
    long n = write(fd_of(s), data, (size_t)number(s->words[1]));
    free(data);
    return n;
}

/* pwrite NAME AT LENGTH LETTER: the letter stands behind the length. */
static long do_pwrite(const struct step *s)
{
    char *letter = strchr(s->words[2], ' ');
    if (letter == NULL)
        exit(64);
    *letter = '\0';
    char *data = letters(s->words[2], letter + 1);
    long n = pwrite(fd_of(s), data, (size_t)number(s->words[2]),
                    number(s->words[1]));
    free(data);
    return n;
}

static long do_truncate(const struct step *s)
{
    return ftruncate(fd_of(s), number(s->words[1]));
}

static long do_fsync(const struct step *s)
{
    return fsync(fd_of(s));
}

static long do_fdatasync(const struct step *s)
{
    return fdatasync(fd_of(s));
}

static long do_syncdir(const struct step *s)
{
    int fd = open(s->words[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fd;
    int status = fsync(fd);
    (void)close(fd);
    return status;
}

static long do_mkdir(const struct step *s)
{
    return mkdir(s->words[0], 0700);
}

static long do_unlink(const struct step *s)
{
    return unlink(s->words[0]);
}

static long do_rename(const struct step *s)
{
    return rename(s->words[0], s->words[1]);
}

static long do_map(const struct step *s)
{
    void *at = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd_of(s), 0);
    return at == MAP_FAILED ? -1 : 0;
}

static long do_send(const struct step *s)
{
    int ends[2];
    (void)s;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return -1;
    long n = send(ends[0], "x", 1, MSG_NOSIGNAL);
    (void)close(ends[0]);
    (void)close(ends[1]);
    return n;
}

static const struct {
    const char *verb;
    long (*run)(const struct step *s);
} verbs[] = {
    {"open", do_open},         {"opensync", do_opensync},
    {"openout", do_openout},   {"close", do_close},
    {"write", do_write},       {"pwrite", do_pwrite},
    {"truncate", do_truncate}, {"fsync", do_fsync},
    {"syncdir", do_syncdir},   {"fdatasync", do_fdatasync},
    {"mkdir", do_mkdir},       {"unlink", do_unlink},
    {"rename", do_rename},     {"map", do_map},
    {"send", do_send},
};

static long run(const struct step *s)
{
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (strcmp(s->verb, verbs[i].verb) == 0)
            return verbs[i].run(s);
    (void)fprintf(stderr, "%s: no such step\n", s->verb);
    exit(64);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct step s = {.verb = ""};
        (void)sscanf(argv[i], "%15s %255s %255s %255[^\n]", s.verb, s.words[0],
                     s.words[1], s.words[2]);
        errno = 0;
        if (run(&s) < 0)
            (void)printf("%d\n", errno);
        else
            (void)puts("ok");
        (void)fflush(stdout);
    }
    return 0;
}
