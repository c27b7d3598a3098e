// Log messages to a callback that the application sets; nowhere by default.
#ifndef FS_BASE_LOG_H
#define FS_BASE_LOG_H

typedef enum fs_log_level { FS_LOG_ERROR = 1, FS_LOG_WARNING = 2, FS_LOG_INFO = 3, FS_LOG_DEBUG = 4 } fs_log_level;

typedef void (*fs_log_fn)(void *user, int level, const char *message);

// Messages up to `level` go to `callback`; NULL turns the log off. Process-wide; set it before other threads log, since
// a message in flight may still reach the old callback.
void fs_set_log(fs_log_fn callback, void *user, int level);

// The highest level that somebody listens to, 0 for none.
int fs_log_level_now(void);

// One message without a newline, cut after 1023 bytes. Costs one relaxed load when nobody listens to this level.
void fs_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
