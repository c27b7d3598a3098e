// Reads, merges and replaces the tuning cache's file: a header, one line an entry, a checksum at the end.
#include "cuda/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/log.h"
#include "runtime/base/mem.h"
#include "runtime/base/text.h"
#include "runtime/base/writer.h"

#define HEADER "fastscnn tactics 2"
enum { MAX_FILE = 1 << 20, MAX_ENTRIES = 8192, MAX_SIGNATURE = 160, MAX_TACTIC = 40 };

typedef struct entry {
    char signature[MAX_SIGNATURE];
    char tactic[MAX_TACTIC];
    double microseconds;
} entry;

struct fs_cache {
    char *path, *key; // path NULL: no file
    entry *entries;
    size_t count, room;
    bool changed;
};

// FNV-1a, 64 bits: against accidents, not against attackers.
static uint64_t hash(const char *text, size_t length) {
    uint64_t h = 1469598103934665603u;
    for (size_t i = 0; i < length; i++) h = (h ^ (unsigned char)text[i]) * 1099511628211u;
    return h;
}

static bool make_folders(char *path) {
    for (char *at = path + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        const bool fine = mkdir(path, 0777) == 0 || errno == EEXIST;
        *at = '/';
        if (!fine) return false;
    }
    return true;
}

bool fs_cache_path(const char *key, char *path, size_t size) {
    const char *given = getenv("FASTSCNN_TUNING_CACHE");
    if (given && given[0]) return strcmp(given, "off") != 0 && (size_t)snprintf(path, size, "%s", given) < size;
    const char *base = getenv("XDG_CACHE_HOME"), *under = "";
    if (base == NULL || base[0] != '/') base = getenv("HOME"), under = "/.cache";
    if (base == NULL || base[0] != '/') return false;
    return (size_t)snprintf(path, size, "%s%s/fastscnn/tactics-%016llx.txt", base, under,
                            (unsigned long long)hash(key, strlen(key))) < size;
}

static entry *find(const fs_cache *c, const char *signature) {
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->entries[i].signature, signature) == 0) return &c->entries[i];
    return NULL;
}

static fs_status put(fs_cache *c, const char *signature, const char *tactic, double microseconds) {
    const double year = 3e13;
    if (strlen(signature) >= MAX_SIGNATURE || strlen(tactic) >= MAX_TACTIC) return FS_OK; // is timed each time
    entry *e = find(c, signature);
    if (e == NULL) {
        if (c->count == MAX_ENTRIES) return FS_OK; // full: the rest is timed each time
        if (c->count == c->room) {
            const size_t room = c->room ? 2 * c->room : 64;
            entry *grown = fs_grow(c->entries, c->count * sizeof *grown, room, sizeof *grown);
            if (grown == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for the tuning cache");
            c->entries = grown, c->room = room;
        }
        e = &c->entries[c->count++];
        snprintf(e->signature, sizeof e->signature, "%s", signature);
    }
    snprintf(e->tactic, sizeof e->tactic, "%s", tactic);
    e->microseconds = microseconds >= 0 && microseconds < year ? microseconds : 0;
    return FS_OK;
}

// The whole file as a NUL-terminated text, NULL when there is none that can be read. A pipe or a device would block or
// never end.
static char *slurp(const char *path) {
    const int descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat about;
    FILE *file = NULL;
    if (descriptor >= 0 && fstat(descriptor, &about) == 0 && S_ISREG(about.st_mode)) file = fdopen(descriptor, "rb");
    if (file == NULL) {
        if (descriptor >= 0) close(descriptor);
        return NULL;
    }
    char *text = fs_malloc(MAX_FILE + 1, 1);
    if (text) {
        const size_t length = fread(text, 1, MAX_FILE + 1, file);
        const bool fine = length <= MAX_FILE && !ferror(file) && memchr(text, '\0', length) == NULL;
        text[fine ? length : 0] = '\0';
    }
    fclose(file);
    return text;
}

// "signature\ttactic\tnanoseconds", split in place. Whole numbers look the same in every locale.
static bool split(char *line, char **tactic, double *nanoseconds) {
    char *first = strchr(line, '\t'), *second = first ? strchr(first + 1, '\t') : NULL;
    if (second == NULL) return false;
    *first = *second = '\0';
    *tactic = first + 1;
    return first - line > 0 && first - line < MAX_SIGNATURE && second - first > 1 && second - first <= MAX_TACTIC &&
           fs_parse_number(second + 1, NULL, nanoseconds);
}

// Adds a file's entries to those that are not known yet. Why it cannot be used, or NULL.
static const char *merge(fs_cache *c, char *text) {
    char *end = strstr(text, "\nend ");
    if (strncmp(text, HEADER "\n", sizeof HEADER) != 0) return "another version or no tuning cache";
    if (end == NULL) return "truncated";
    const size_t body = (size_t)(end + 1 - text);
    char *after;
    errno = 0;
    const unsigned long long sum = strtoull(end + 5, &after, 16);
    if (errno || strcmp(after, "\n") != 0 || sum != hash(text, body)) return "damaged";
    char *line = text + sizeof HEADER, *next = strchr(line, '\n');
    *next = '\0';
    if (strcmp(line, c->key) != 0) return "of another machine";
    const size_t before = c->count;
    for (line = next + 1; line < end + 1; line = next + 1) {
        next = strchr(line, '\n');
        *next = '\0';
        char *tactic;
        double nanoseconds;
        if (!split(line, &tactic, &nanoseconds)) {
            c->count = before;
            return "damaged";
        }
        if (find(c, line) == NULL && put(c, line, tactic, nanoseconds / 1e3) != FS_OK)
            return "too large for the memory";
    }
    return NULL;
}

static void read_file(fs_cache *c) {
    char *text = c->path ? slurp(c->path) : NULL;
    if (text == NULL) return;
    const char *why = merge(c, text);
    if (why) fs_log(FS_LOG_INFO, "the tuning cache %s is %s: timing again", c->path, why);
    fs_free(text);
}

fs_status fs_cache_open(const char *path, const char *key, fs_cache **cache) {
    fs_cache *c = fs_calloc(1, sizeof *c);
    if (c) {
        c->key = fs_strdup(key);
        c->path = path ? fs_strdup(path) : NULL;
    }
    if (c == NULL || c->key == NULL || (path && c->path == NULL)) {
        fs_cache_close(c);
        return fs_fail(FS_ERR_MEMORY, "out of memory for the tuning cache");
    }
    read_file(c);
    *cache = c;
    return FS_OK;
}

const char *fs_cache_get(const fs_cache *cache, const char *signature) {
    const entry *e = find(cache, signature);
    return e ? e->tactic : NULL;
}

fs_status fs_cache_put(fs_cache *cache, const char *signature, const char *tactic, double microseconds) {
    cache->changed = true;
    return put(cache, signature, tactic, microseconds);
}

// Who merges and replaces, one at a time: a lock on the folder, so that no lock file stays behind. -1 when it cannot be
// had soon; then an entry may be lost, which is timed again.
static int take_turn(const fs_cache *c) {
    enum { TRIES = 2000 };
    const struct timespec pause = {.tv_nsec = 1000000};
    const char *slash = strrchr(c->path, '/');
    char folder[4096] = ".";
    if (slash) snprintf(folder, sizeof folder, "%.*s", (int)(slash - c->path + 1), c->path);
    const int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; descriptor >= 0 && flock(descriptor, LOCK_EX | LOCK_NB) != 0; i++) {
        if (errno == EWOULDBLOCK && i < TRIES) {
            nanosleep(&pause, NULL);
            continue;
        }
        close(descriptor);
        return -1;
    }
    return descriptor;
}

static fs_status replace(fs_cache *c) {
    struct stat about;
    if (stat(c->path, &about) == 0 && !S_ISREG(about.st_mode)) return fs_fail(FS_ERR_IO, "it is not a regular file");
    read_file(c); // what others have written meanwhile; what this session timed itself stays
    fs_text text = {0};
    fs_text_add(&text, "%s\n%s\n", HEADER, c->key);
    for (size_t i = 0; i < c->count; i++)
        fs_text_add(&text, "%s\t%s\t%.0f\n", c->entries[i].signature, c->entries[i].tactic,
                    1e3 * c->entries[i].microseconds);
    const uint64_t sum = text.data ? hash(text.data, text.length) : 0;
    fs_text_add(&text, "end %016llx\n", (unsigned long long)sum);
    fs_status status = fs_text_status(&text);
    if (status == FS_OK) status = fs_write_whole(c->path, &(fs_part){text.data, text.length}, 1);
    fs_text_free(&text);
    return status;
}

void fs_cache_save(fs_cache *c) {
    if (!c->changed || c->path == NULL) return;
    fs_status status;
    if (make_folders(c->path)) {
        const int turn = take_turn(c);
        status = replace(c);
        if (turn >= 0) close(turn);
    } else {
        status = fs_fail(FS_ERR_IO, "%s", strerror(errno));
    }
    if (status != FS_OK)
        fs_log(FS_LOG_WARNING, "the tuning cache %s cannot be written (%s): the next session times its tactics again",
               c->path, fs_error_text());
    else
        c->changed = false;
}

void fs_cache_close(fs_cache *cache) {
    if (cache == NULL) return;
    fs_free(cache->entries);
    fs_free(cache->path);
    fs_free(cache->key);
    fs_free(cache);
}
