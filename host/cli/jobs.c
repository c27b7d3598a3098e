// Lists pictures, names their outputs, and finds outputs that would overwrite each other or an input.
#include "host/cli/jobs.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "host/cli/cli.h"
#include "host/cli/video.h"
#include "host/image/image.h"
#include "runtime/base/mem.h"

static const char *const endings[FS_KINDS] = {"_labels.png", "_overlay.png", "_color.png", "_logits.npy"};

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

// "folder/name"; NULL when memory is out.
static char *join(const char *folder, const char *name, size_t name_length, const char *ending) {
    size_t folder_length = folder != NULL ? strlen(folder) : 0;
    size_t size = folder_length + 1 + name_length + strlen(ending) + 1;
    char *path = fs_malloc(size, 1);
    if (path == NULL) return NULL;
    const char *slash = folder_length == 0 || folder[folder_length - 1] == '/' ? "" : "/";
    snprintf(path, size, "%s%s%.*s%s", folder != NULL ? folder : "", slash, (int)name_length, name, ending);
    return path;
}

// Takes ownership of `path`, also on failure.
static bool append(fs_jobs *jobs, char *path) {
    if (path != NULL && jobs->count == jobs->capacity) {
        size_t capacity = jobs->capacity == 0 ? 16 : 2 * jobs->capacity;
        fs_job *list = fs_grow(jobs->list, jobs->count * sizeof *list, capacity, sizeof *list);
        if (list == NULL) {
            fs_free(path);
            return false;
        }
        jobs->list = list;
        jobs->capacity = capacity;
    }
    if (path == NULL) return false;
    jobs->list[jobs->count++] = (fs_job){.in = path};
    return true;
}

static int by_input(const void *a, const void *b) {
    return strcmp(((const fs_job *)a)->in, ((const fs_job *)b)->in);
}

static bool add_folder(fs_jobs *jobs, const char *path) {
    DIR *folder = opendir(path);
    if (folder == NULL) {
        fs_complain("cannot read the folder '%s': %s", path, strerror(errno));
        jobs->unlisted++;
        return true;
    }
    size_t first = jobs->count, videos = 0;
    bool fine = true;
    for (struct dirent *entry = readdir(folder); fine && entry != NULL; entry = readdir(folder)) {
        if (entry->d_name[0] == '.') continue;
        if (fs_video_has_ending(entry->d_name)) videos++;
        if (!fs_image_is_name(entry->d_name)) continue;
        char *name = join(path, entry->d_name, strlen(entry->d_name), "");
        struct stat status;
        if (name != NULL && stat(name, &status) == 0 && S_ISDIR(status.st_mode))
            fs_free(name);
        else
            fine = append(jobs, name);
    }
    closedir(folder);
    if (fine && jobs->count == first) {
        fs_complain("the folder '%s' has no picture (.png, .jpg, .jpeg, .ppm, .pgm)%s", path,
                    videos > 0 ? "; give its videos by their names, one at a time" : "");
        jobs->unlisted++;
    } else {
        jobs->videos += videos;
    }
    if (jobs->count > first) qsort(jobs->list + first, jobs->count - first, sizeof *jobs->list, by_input);
    return fine;
}

bool fs_jobs_add(fs_jobs *jobs, const char *path) {
    struct stat status;
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) return add_folder(jobs, path);
    return append(jobs, fs_strdup(path));
}

bool fs_jobs_name(fs_job *job, fs_kind kind, const char *path, const char *folder) {
    if (path != NULL) {
        job->out[kind] = fs_strdup(path);
    } else {
        const char *name = base_name(job->in);
        const char *dot = strrchr(name, '.');
        size_t length = dot != NULL && dot != name ? (size_t)(dot - name) : strlen(name);
        job->out[kind] = join(folder, name, length, endings[kind]);
    }
    return job->out[kind] != NULL;
}

typedef struct claim {
    const char *out, *in;
} claim;

static int by_output(const void *a, const void *b) {
    return strcmp(((const claim *)a)->out, ((const claim *)b)->out);
}

typedef struct identity {
    dev_t device;
    ino_t inode;
} identity;

static int by_identity(const void *a, const void *b) {
    const identity *x = a, *y = b;
    if (x->device != y->device) return x->device < y->device ? -1 : 1;
    return (x->inode > y->inode) - (x->inode < y->inode);
}

static bool check(const fs_jobs *jobs, claim *claims, identity *inputs) {
    size_t claimed = 0, known = 0;
    for (size_t i = 0; i < jobs->count; i++) {
        struct stat status;
        if (stat(jobs->list[i].in, &status) == 0) inputs[known++] = (identity){status.st_dev, status.st_ino};
        for (int kind = 0; kind < FS_KINDS; kind++)
            if (jobs->list[i].out[kind] != NULL) claims[claimed++] = (claim){jobs->list[i].out[kind], jobs->list[i].in};
    }
    qsort(claims, claimed, sizeof *claims, by_output);
    qsort(inputs, known, sizeof *inputs, by_identity);
    for (size_t i = 0; i < claimed; i++) {
        if (i > 0 && strcmp(claims[i - 1].out, claims[i].out) == 0) {
            fs_complain("'%s' would be written twice, for '%s' and '%s'; write them in two runs or name them apart",
                        claims[i].out, claims[i - 1].in, claims[i].in);
            return false;
        }
        struct stat status;
        if (stat(claims[i].out, &status) != 0) continue;
        identity output = {status.st_dev, status.st_ino};
        if (bsearch(&output, inputs, known, sizeof *inputs, by_identity) != NULL) {
            fs_complain("output '%s' is one of the input pictures; give another name", claims[i].out);
            return false;
        }
    }
    return true;
}

bool fs_jobs_distinct(const fs_jobs *jobs) {
    if (jobs->count == 0) return true;
    claim *claims = fs_calloc(jobs->count * FS_KINDS, sizeof *claims);
    identity *inputs = fs_calloc(jobs->count, sizeof *inputs);
    bool fine = false;
    if (claims != NULL && inputs != NULL)
        fine = check(jobs, claims, inputs);
    else
        fs_complain("out of memory for a list of %zu pictures", jobs->count);
    fs_free(claims);
    fs_free(inputs);
    return fine;
}

void fs_jobs_free(fs_jobs *jobs) {
    for (size_t i = 0; i < jobs->count; i++) {
        fs_free(jobs->list[i].in);
        for (int kind = 0; kind < FS_KINDS; kind++) fs_free(jobs->list[i].out[kind]);
    }
    fs_free(jobs->list);
    *jobs = (fs_jobs){0};
}
