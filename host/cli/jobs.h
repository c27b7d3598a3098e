// The pictures that one run of the command works on, and the files that each of them becomes.
#ifndef FS_CLI_JOBS_H
#define FS_CLI_JOBS_H

#include <stdbool.h>
#include <stddef.h>

typedef enum fs_kind { FS_KIND_LABELS, FS_KIND_OVERLAY, FS_KIND_COLOR, FS_KIND_LOGITS, FS_KINDS } fs_kind;

typedef struct fs_job {
    char *in;            // owned
    char *out[FS_KINDS]; // owned; NULL: not wanted
} fs_job;

typedef struct fs_jobs {
    fs_job *list; // owned
    size_t count, capacity;
    size_t videos;   // in folders, left out
    size_t unlisted; // arguments that gave no picture: unreadable folders, folders without pictures
} fs_jobs;

// Adds a picture, or the pictures of a folder in the order of their names. A folder that gives none is complained about
// and counted. False when memory is out.
bool fs_jobs_add(fs_jobs *jobs, const char *path);
// Names what a job writes: a copy of `path`, or "<folder>/<stem>_labels.png" and so on when path is NULL (folder NULL:
// the current one). False when memory is out.
bool fs_jobs_name(fs_job *job, fs_kind kind, const char *path, const char *folder);
// Whether no two outputs are one file and no output is an input. Complains if not; true for an empty list.
bool fs_jobs_distinct(const fs_jobs *jobs);
void fs_jobs_free(fs_jobs *jobs);

#endif
