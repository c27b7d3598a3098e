// The tuning cache: which tactic won for which node on this device, kept in a file that processes share.
#ifndef FS_CUDA_CACHE_H
#define FS_CUDA_CACHE_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/status.h"

// One text file per key; the key names all that a timing depends on: device, driver, CUDA, cuDNN, precision, and the
// version of this library's kernels. A file that is truncated, damaged, of another version or another key counts as
// empty, never as an error: what is missing is timed again. What it says is only a name to look for among the tactics
// that exist, so a hostile file can at worst choose a slow one.
typedef struct fs_cache fs_cache;

// `path` NULL: no file, remember for this session only. FS_ERR_MEMORY.
fs_status fs_cache_open(const char *path, const char *key, fs_cache **cache);
// The name of the winner, NULL when unknown. Valid until the next fs_cache_put.
const char *fs_cache_get(const fs_cache *cache, const char *signature);
// Neither may hold a tab or a newline. FS_ERR_MEMORY.
fs_status fs_cache_put(fs_cache *cache, const char *signature, const char *tactic, double microseconds);
// Writes what is new, with what other processes have added since, to a temporary file that replaces the old one. A
// failure is logged and otherwise ignored. No writing when nothing is new.
void fs_cache_save(fs_cache *cache);
void fs_cache_close(fs_cache *cache); // accepts NULL

// The file for a key: FASTSCNN_TUNING_CACHE (a file, or "off"), else tactics-<hash of the key>.txt in the folder
// fastscnn of XDG_CACHE_HOME or ~/.cache. False when there is none to use.
bool fs_cache_path(const char *key, char *path, size_t size);

#endif
