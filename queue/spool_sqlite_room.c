#include <sys/statvfs.h>

#include "queue/spool_sqlite.h"

#define RESERVE_PART 16
#define RESERVE_MIN  (INT64_C(1) << 20)
#define RESERVE_MAX  (INT64_C(64) << 20)

/* What a request may add to the log: a page of each index that it is in. */
#define REQUEST_BYTES (INT64_C(32) << 10)

#define LOOK_EVERY_MS 100

/* So long after one that was refused history gives way to those to come. */
#define YIELD_MS 5000

/* Accepted ones between two looks are together no more than this. */
#define LOOK_EVERY_BYTES (INT64_C(1) << 18)

bool spool_sqlite_disk_room(const char *path, int64_t *free_bytes,
                            int64_t *all_bytes)
{
    struct statvfs st;
    if (statvfs(path, &st) != 0 || st.f_blocks == 0)
        return false;
    *free_bytes = (int64_t)(st.f_bavail * st.f_frsize);
    *all_bytes = (int64_t)(st.f_blocks * st.f_frsize);
    return true;
}

static int64_t reserve_of(int64_t all_bytes)
{
    int64_t part = all_bytes / RESERVE_PART;
    if (part < RESERVE_MIN)
        return RESERVE_MIN;
    return part > RESERVE_MAX ? RESERVE_MAX : part;
}

/* What is in the log will be in the database too. False: nobody knows. */
static bool spare(struct spool_sqlite *s, int64_t *spare_bytes,
                  int64_t *reserve_bytes)
{
    int64_t free_bytes = 0;
    int64_t all_bytes = 0;
    if (!s->disk.room(s->path, &free_bytes, &all_bytes))
        return false;
    *reserve_bytes = reserve_of(all_bytes);
    *spare_bytes = free_bytes - *reserve_bytes - s->filing_bytes -
                   store_uncopied_bytes(s->store);
    return true;
}

/*
 * Pages of the database that are not used count too, but what goes there goes
 * through the log first: no more of it than half of the reserve in one go.
 */
static void be_careful(struct spool_sqlite *s, int64_t disk_bytes,
                       int64_t reserve_bytes)
{
    int64_t most_bytes = reserve_bytes / 2 + (disk_bytes > 0 ? disk_bytes : 0);
    s->spare_bytes = disk_bytes + store_unused_bytes(s->store);
    s->yields = s->spare_bytes < reserve_bytes / 4 &&
                clock_mono_ms(clock_system()) < s->yields_until_ms;
    if (s->spare_bytes > most_bytes)
        s->spare_bytes = most_bytes;
}

/* A group adds no more to the log than half of what there is. */
static void limit_groups(struct spool_sqlite *s, int64_t free_bytes)
{
    int64_t requests = free_bytes / 2 / REQUEST_BYTES;
    s->group_max = SPOOL_GROUP_MAX;
    if (requests < SPOOL_GROUP_MAX)
        s->group_max = requests < 1 ? 1 : (size_t)requests;
}

static bool is_time(const struct spool_sqlite *s, int64_t now_ms)
{
    return s->looks || now_ms >= s->looked_at_ms + LOOK_EVERY_MS ||
           store_uncopied_bytes(s->store) >=
               s->looked_at_bytes + LOOK_EVERY_BYTES;
}

void spool_sqlite_look_at_disk(struct spool_sqlite *s)
{
    int64_t now_ms = clock_mono_ms(clock_system());
    int64_t disk_bytes = 0;
    int64_t reserve_bytes = 0;
    if (!is_time(s, now_ms))
        return;
    s->looks = false;
    s->looked_at_ms = now_ms;
    s->yields = false;
    s->group_max = SPOOL_GROUP_MAX;
    s->spare_bytes = INT64_MAX;
    s->looked_at_bytes = store_uncopied_bytes(s->store);
    if (!spare(s, &disk_bytes, &reserve_bytes))
        return;
    bool is_low = disk_bytes < reserve_bytes;
    store_keep_log_short(s->store, is_low);
    if (is_low && spare(s, &disk_bytes, &reserve_bytes))
        be_careful(s, disk_bytes, reserve_bytes);
    else
        s->spare_bytes = disk_bytes;
    limit_groups(s, disk_bytes + reserve_bytes);
}

/* A body is in its file, or in the log and in the database. */
static int64_t need_of(const struct store_row *row)
{
    int64_t body_bytes = (int64_t)row->body_bytes;
    int64_t rest_bytes = row->cost_bytes - body_bytes;
    return 2 * rest_bytes + (row->body_in_file ? 1 : 2) * body_bytes;
}

enum err_code spool_sqlite_take_room(struct spool_sqlite *s,
                                     const struct store_row *row,
                                     struct err *err)
{
    int64_t need_bytes = need_of(row);
    if (need_bytes > s->spare_bytes) {
        s->looks = true;
        s->yields_until_ms = clock_mono_ms(clock_system()) + YIELD_MS;
        return err_set(err, ERR_FULL,
                       "the disk of the spool %s is nearly full: make room "
                       "there",
                       s->path);
    }
    s->spare_bytes -= need_bytes;
    s->taken_bytes += need_bytes;
    if (s->taken_bytes >= LOOK_EVERY_BYTES) {
        s->taken_bytes = 0;
        s->looks = true;
    }
    return ERR_NONE;
}
