// Finds and loads cuDNN's library at run time, and opens its handles.
#ifdef FS_HAVE_CUDNN

#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/cudnn_library.h"
#include "runtime/base/log.h"
#include "runtime/base/mem.h"
#include "runtime/base/text.h"

// ---- Errors ---------------------------------------------------------------------------------------------------------

bool fs_cudnn_out_of_memory(cudnnStatus_t status) {
    return status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
           status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
}

void fs_cudnn_last_error(const fs_cudnn *cudnn, char *text, size_t size) {
    text[0] = '\0';
    cudnn->cudnnGetLastErrorString(text, size);
    text[size - 1] = '\0';
    text[strcspn(text, "\n")] = '\0';
}

fs_status fs_cudnn_failed(const fs_cudnn *cudnn, cudnnStatus_t status, const char *what) {
    char detail[512];
    fs_cudnn_last_error(cudnn, detail, sizeof detail);
    fs_status kind = FS_ERR_BACKEND;
    if (fs_cudnn_out_of_memory(status)) kind = FS_ERR_MEMORY;
    if (status == CUDNN_STATUS_NOT_INITIALIZED) kind = FS_ERR_DEVICE; // what cudnnCreate says without a GPU
    return fs_fail(kind, "cuDNN cannot %s: %s (%d)%s%s", what, cudnn->cudnnGetErrorString(status), (int)status,
                   detail[0] ? ": " : "", detail);
}

// ---- The library ----------------------------------------------------------------------------------------------------

static const char *load_functions(fs_cudnn *cudnn) {
#define LOAD(name)                                                                                                     \
    *(void **)&cudnn->name = dlsym(cudnn->library, #name);                                                             \
    if (cudnn->name == NULL) return #name;
    FS_CUDNN_FUNCTIONS(LOAD)
#undef LOAD
    return NULL;
}

// Where the library was found; the loader knows it by more than the name that was asked for.
static char *loaded_path(const fs_cudnn *cudnn) {
    Dl_info info;
    const bool known = dladdr(*(void *const *)&cudnn->cudnnGetVersion, &info) != 0 && info.dli_fname != NULL;
    return fs_strdup(known ? info.dli_fname : "libcudnn.so.9");
}

// NULL when the loaded library is a usable cuDNN 9; else why not.
static const char *examine(fs_cudnn *cudnn, char *why, size_t size) {
    const char *missing = load_functions(cudnn);
    if (missing != NULL) {
        snprintf(why, size, "has no %s, so it is no cuDNN %d", missing, CUDNN_MAJOR);
        return why;
    }
    cudnn->version = (int)cudnn->cudnnGetVersion();
    if (cudnn->version / 10000 != CUDNN_MAJOR) {
        snprintf(why, size, "is version %d, not cuDNN %d", cudnn->version, CUDNN_MAJOR);
        return why;
    }
    const cudnnStatus_t status = cudnn->cudnnGraphVersionCheck();
    if (status == CUDNN_STATUS_SUCCESS) return NULL;
    snprintf(why, size, "its parts are missing or of another version: %s", cudnn->cudnnGetErrorString(status));
    return why;
}

// Whether the library at `path` is usable; if not, `tried` says why.
static bool load(fs_cudnn *cudnn, const char *path, fs_text *tried) {
    // Never unloaded: it keeps state of threads and of the driver, which would call back into it.
    cudnn->library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (cudnn->library == NULL) {
        fs_text_add(tried, "\n  %s", dlerror());
        return false;
    }
    char text[160];
    const char *why = examine(cudnn, text, sizeof text);
    if (why == NULL) return true;
    fs_text_add(tried, "\n  %s: %s", path, why);
    dlclose(cudnn->library);
    cudnn->library = NULL;
    return false;
}

// Loads the first usable library among the files that match a pattern of the shell.
static bool load_matching(fs_cudnn *cudnn, const char *folder, const char *below, fs_text *tried) {
    if (folder == NULL || folder[0] == '\0') return false;
    char pattern[1024];
    const int length = snprintf(pattern, sizeof pattern, "%s%s/libcudnn.so.9", folder, below);
    if (length < 0 || (size_t)length >= sizeof pattern) return false;
    glob_t found;
    bool loaded = false;
    const int status = glob(pattern, GLOB_BRACE, NULL, &found);
    for (size_t i = 0; status == 0 && i < found.gl_pathc && !loaded; i++)
        loaded = load(cudnn, found.gl_pathv[i], tried);
    if (status == GLOB_NOMATCH) fs_text_add(tried, "\n  %s: no such file", pattern);
    if (status == 0) globfree(&found);
    return loaded;
}

static bool find_library(fs_cudnn *cudnn, fs_text *tried) {
    const char *const chosen = secure_getenv("FASTSCNN_CUDNN");
    if (chosen != NULL && chosen[0] != '\0') return load(cudnn, chosen, tried);
    const char *const package = "/lib/python3*/{site,dist}-packages/nvidia/cudnn/lib";
    return load(cudnn, "libcudnn.so.9", tried) ||
           load_matching(cudnn, secure_getenv("CUDA_HOME"), "/lib{64,}", tried) ||
           load_matching(cudnn, "/usr/local/cuda", "/lib{64,}", tried) ||
           load_matching(cudnn, secure_getenv("VIRTUAL_ENV"), package, tried) ||
           load_matching(cudnn, secure_getenv("HOME"), "/.local/lib/python3*/site-packages/nvidia/cudnn/lib", tried) ||
           load_matching(cudnn, "/usr", "{/local,}/lib/python3*/{site,dist}-packages/nvidia/cudnn/lib", tried);
}

static fs_status open_library(fs_cudnn *cudnn) {
    fs_text tried = {0};
    fs_status status = FS_OK;
    if (find_library(cudnn, &tried)) {
        cudnn->path = loaded_path(cudnn);
        if (cudnn->path == NULL) status = fs_fail(FS_ERR_MEMORY, "out of memory for cuDNN");
    } else if (tried.failed) {
        status = fs_text_status(&tried);
    } else {
        status =
            fs_fail(FS_ERR_BACKEND,
                    "no usable cuDNN 9; install it (package libcudnn9-cuda-%d, or pip install nvidia-cudnn-cu%d), or "
                    "set FASTSCNN_CUDNN to the path of libcudnn.so.9. Looked at:%s",
                    CUDART_VERSION / 1000, CUDART_VERSION / 1000, tried.data);
    }
    fs_text_free(&tried);
    return status;
}

fs_status fs_cudnn_open(fs_cudnn **out) {
    fs_cudnn *cudnn = fs_calloc(1, sizeof *cudnn);
    if (cudnn == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for cuDNN");
    const fs_status status = open_library(cudnn);
    if (status != FS_OK) {
        fs_cudnn_close(cudnn);
        return status;
    }
    fs_log(FS_LOG_INFO, "cuDNN %d from %s", cudnn->version, cudnn->path);
    *out = cudnn;
    return FS_OK;
}

void fs_cudnn_close(fs_cudnn *cudnn) {
    if (cudnn == NULL) return;
    if (cudnn->library != NULL) dlclose(cudnn->library);
    fs_free(cudnn->path);
    fs_free(cudnn);
}

int fs_cudnn_version(const fs_cudnn *cudnn) {
    return cudnn->version;
}

const char *fs_cudnn_path(const fs_cudnn *cudnn) {
    return cudnn->path;
}

// ---- Handles --------------------------------------------------------------------------------------------------------

fs_status fs_cudnn_handle_open(fs_cudnn *cudnn, fs_cudnn_handle **out) {
    fs_cudnn_handle *handle = fs_calloc(1, sizeof *handle);
    if (handle == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for cuDNN's handle");
    handle->cudnn = cudnn;
    const cudnnStatus_t status = cudnn->cudnnCreate(&handle->handle);
    if (status != CUDNN_STATUS_SUCCESS) {
        fs_free(handle);
        return fs_cudnn_failed(cudnn, status, "open the device");
    }
    *out = handle;
    return FS_OK;
}

void fs_cudnn_handle_close(fs_cudnn_handle *handle) {
    if (handle == NULL) return;
    handle->cudnn->cudnnDestroy(handle->handle);
    fs_free(handle);
}

#endif
