// Files of one test run, and the tuning cache as an object.
#ifndef FS_TESTS_CUDA_BACKEND_FILES_H
#define FS_TESTS_CUDA_BACKEND_FILES_H

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "tests/cuda/check.h"

extern "C" {
#include "cuda/cache.h"
#include "runtime/base/status.h"
}

// A folder that is gone at the end.
struct Folder {
    std::string path;
    Folder() {
        std::string name = (std::filesystem::temp_directory_path() / "fastscnn-XXXXXX").string();
        if (mkdtemp(name.data())) path = name;
        CHECK(!path.empty(), "no temporary folder");
    }
    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
    Folder(const Folder &) = delete;
    std::string operator/(const std::string &name) const { return path + "/" + name; }
};

inline std::string read_file(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

inline void write_file(const std::string &path, const std::string &content) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

struct Cache {
    fs_cache *cache = nullptr;
    explicit Cache(const std::string &path, const char *key = "key") {
        CHECK(fs_cache_open(path.empty() ? nullptr : path.c_str(), key, &cache) == FS_OK, "open: %s", fs_error_text());
    }
    ~Cache() { fs_cache_close(cache); }
    Cache(const Cache &) = delete;
    std::string get(const std::string &signature) const {
        const char *found = fs_cache_get(cache, signature.c_str());
        return found ? found : "";
    }
    void put(const std::string &signature, const std::string &tactic, double us = 1.5) {
        CHECK(fs_cache_put(cache, signature.c_str(), tactic.c_str(), us) == FS_OK, "put: %s", fs_error_text());
    }
    void save() { fs_cache_save(cache); }
};

#endif
