// The tuning cache's file: what it keeps, under damage and hostility, in odd places, and with several at once.
#include <cmath>
#include <cstring>
#include <map>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "tests/cuda_backend/files.h"

using std::string;

static const Folder *folder; // of this run

static string in_folder(const string &name) {
    return *folder / name;
}

static string numbered(const char *name, int i) {
    return name + std::to_string(i);
}

// A whole cache file of two entries for key "key".
static string whole_file() {
    const string path = in_folder("whole.txt");
    std::filesystem::remove(path);
    Cache cache(path);
    cache.put("conv a", "conv f16 128x64", 12.25);
    cache.put("conv b", "cudnn 32:C2G3N1", 3);
    cache.save();
    return read_file(path);
}

static void keeps() {
    const string path = in_folder("new/folders/kept.txt");
    {
        Cache cache(path);
        CHECK(cache.get("a").empty(), "an empty cache knows something");
        for (int i = 0; i < 300; i++) cache.put(numbered("signature ", i), numbered("tactic ", i));
        cache.put("signature 7", "another");
        CHECK(cache.get("signature 7") == "another", "a second put");
        CHECK(!std::filesystem::exists(path), "written before it was saved");
        cache.save();
    }
    Cache again(path);
    for (int i = 0; i < 300; i++)
        CHECK(again.get(numbered("signature ", i)) == (i == 7 ? "another" : numbered("tactic ", i)), "entry %d", i);
    CHECK(again.get("signature 300").empty() && again.get("").empty(), "what is not there");
    const auto written = std::filesystem::last_write_time(path);
    again.save();
    CHECK(std::filesystem::last_write_time(path) == written, "nothing new was written");
    for (const auto &file : std::filesystem::directory_iterator(in_folder("new/folders")))
        CHECK(file.path() == path, "%s stays behind", file.path().c_str());
    Cache other(path, "other key");
    CHECK(other.get("signature 1").empty(), "an entry of another key");
    Cache nowhere("");
    nowhere.put("a", "b");
    nowhere.save();
    CHECK(nowhere.get("a") == "b", "without a file");
}

// Neither a signature nor a tactic beyond what the file can hold, nor a strange time, spoils the file.
static void odd_entries() {
    const string path = in_folder("odd.txt");
    {
        Cache cache(path);
        cache.put(string(159, 's'), string(39, 't'));
        cache.put(string(160, 'x'), "t");
        cache.put(string(5000, 'y'), "t");
        cache.put("long tactic", string(40, 't'));
        int i = 0;
        for (double us : {0.0, -1.0, 1e-300, 1e300, static_cast<double>(NAN), static_cast<double>(INFINITY)})
            cache.put(numbered("time ", i++), "t", us);
        cache.save();
    }
    Cache again(path);
    CHECK(again.get(string(159, 's')) == string(39, 't'), "the longest entry");
    for (int i = 0; i < 6; i++) CHECK(again.get(numbered("time ", i)) == "t", "time %d", i);
    CHECK(again.get(string(160, 'x')).empty() && again.get(string(159, 'x')).empty(), "too long a signature");
    CHECK(again.get("long tactic").empty(), "too long a tactic");
    for (int i = 0; i < 9000; i++) again.put(numbered("many ", i), "t");
    again.save();
    Cache many(path);
    CHECK(many.get("many 8000") == "t", "entry 8000");
}

// The file's content counts as empty, and the next save replaces it by a whole one.
static void expect_empty(const string &path, const string &what) {
    {
        Cache cache(path);
        CHECK(cache.get("conv a").empty() && cache.get("conv b").empty(), "%s: something is known", what.c_str());
        cache.put("conv c", "t");
        cache.save();
    }
    Cache again(path);
    CHECK(again.get("conv c") == "t", "%s: not replaced", what.c_str());
    CHECK(again.get("conv a").empty(), "%s: came back", what.c_str());
}

static void damage() {
    const string whole = whole_file(), path = in_folder("damaged.txt");
    write_file(path, whole);
    CHECK(Cache(path).get("conv a") == "conv f16 128x64", "the undamaged file");
    for (size_t length = 0; length < whole.size(); length++) {
        write_file(path, whole.substr(0, length));
        expect_empty(path, "truncated to " + std::to_string(length));
    }
    for (size_t at = 0; at < whole.size(); at++)
        for (int bit = 0; bit < 8; bit++) {
            string flipped = whole;
            flipped[at] = static_cast<char>(flipped[at] ^ 1 << bit);
            // A checksum in capitals is the same number.
            if (isxdigit(whole[at]) && tolower(flipped[at]) == whole[at] && at > whole.rfind("end ")) continue;
            write_file(path, flipped);
            expect_empty(path, "bit " + std::to_string(bit) + " of byte " + std::to_string(at));
        }
    write_file(path, whole + "x");
    expect_empty(path, "more behind the end");
    write_file(path, whole + whole);
    expect_empty(path, "twice");
}

// With a checksum that is right, as somebody can make it who means harm.
static string sealed(const string &body) {
    uint64_t h = 1469598103934665603u;
    for (const unsigned char c : body) h = (h ^ c) * 1099511628211u;
    char end[32];
    snprintf(end, sizeof end, "end %016llx\n", static_cast<unsigned long long>(h));
    return body + end;
}

static void hostility() {
    const string path = in_folder("hostile.txt"), whole = whole_file();
    const string header = whole.substr(0, whole.find('\n') + 1), start = header + "key\n";
    const string entry = "conv a\tt\t1\n";
    write_file(path, sealed(start + entry));
    CHECK(Cache(path).get("conv a") == "t", "the seal of this test is another one than the cache's");
    const std::map<string, string> bodies = {
        {"another version", "fastscnn tactics 999\nkey\n" + entry},
        {"no key", header + entry},
        {"another key", header + "yek\n" + entry},
        {"a key with more behind it", header + "key2\n" + entry},
        {"one tab", start + entry + "conv b\tt\n"},
        {"no tab", start + entry + "conv b\n"},
        {"an empty line", start + entry + "\n"},
        {"no signature", start + entry + "\tt\t1\n"},
        {"no tactic", start + entry + "conv b\t\t1\n"},
        {"no number", start + entry + "conv b\tt\t\n"},
        {"words for a number", start + entry + "conv b\tt\tnan\n"},
        {"a number beyond doubles", start + entry + "conv b\tt\t1e999\n"},
        {"a number of 5000 digits", start + entry + "conv b\tt\t" + string(5000, '9') + "\n"},
        {"three tabs", start + entry + "conv b\tt\t1\t2\n"},
        {"a signature too long", start + entry + string(160, 's') + "\tt\t1\n"},
        {"a tactic too long", start + entry + "conv b\t" + string(41, 't') + "\t1\n"},
        {"a line of 900 kB", start + entry + string(900000, 's') + "\tt\t1\n"},
        {"a NUL", start + entry + string("conv\0b\tt\t1\n", 11)},
        {"a carriage return", start + "conv a\tt\t1\r\n"},
    };
    for (const auto &[what, body] : bodies) {
        write_file(path, sealed(body));
        expect_empty(path, what);
    }
    string binary(5000, '\0');
    check::Random random(5);
    for (char &c : binary) c = static_cast<char>(random.bits());
    write_file(path, binary);
    expect_empty(path, "random bytes");
    write_file(path, start + string(2 << 20, 'x'));
    expect_empty(path, "2 MB without a line");
    string large = start;
    while (large.size() < 2u << 20) large += "conv a\tt\t1\n";
    write_file(path, sealed(large));
    expect_empty(path, "2 MB of entries");
    write_file(path, sealed(start + "conv a\tt\t1e300\nconv d\tt\t-1e300\n"));
    CHECK(Cache(path).get("conv a") == "t", "a time that no kernel takes is only a time");
}

// What is no file, or cannot be written, is left as it is.
static void odd_places() {
    const string blocked = in_folder("blocked"), pipe = in_folder("pipe");
    std::filesystem::create_directory(blocked);
    CHECK(mkfifo(pipe.c_str(), 0600) == 0, "mkfifo");
    write_file(in_folder("file"), "");
    // Devices by links of this folder: a cache that replaces what it is given takes the link, not the machine's device.
    const string null = in_folder("null"), zero = in_folder("zero");
    std::filesystem::create_symlink("/dev/null", null);
    std::filesystem::create_symlink("/dev/zero", zero);
    std::vector<string> paths = {blocked,
                                 pipe,
                                 null,
                                 zero,
                                 in_folder("file") + "/below/a/file.txt",
                                 "/proc/no/such.txt",
                                 in_folder(string(300, 'n')),
                                 in_folder(string(4090, 'p'))};
    if (geteuid() != 0) {
        const string closed = in_folder("closed");
        std::filesystem::create_directory(closed);
        std::filesystem::permissions(closed, std::filesystem::perms::owner_read);
        paths.push_back(closed + "/file.txt");
    }
    for (const string &path : paths) {
        struct stat before = {}, after = {};
        lstat(path.c_str(), &before);
        Cache cache(path);
        cache.put("a", "b");
        cache.save();
        CHECK(cache.get("a") == "b", "%.80s", path.c_str());
        lstat(path.c_str(), &after);
        CHECK(before.st_ino == after.st_ino && before.st_mode == after.st_mode, "%.80s was replaced", path.c_str());
    }
    // Relative to the working directory.
    char here[4096];
    CHECK(getcwd(here, sizeof here) != nullptr && chdir(folder->path.c_str()) == 0, "chdir");
    {
        Cache cache("bare.txt");
        cache.put("a", "b");
        cache.save();
    }
    CHECK(Cache("bare.txt").get("a") == "b", "a bare name");
    CHECK(chdir(here) == 0, "chdir back");
}

static void merges() {
    const string path = in_folder("merged.txt");
    Cache one(path), two(path);
    one.put("both", "of one"), one.put("one", "1");
    two.put("both", "of two"), two.put("two", "2");
    one.save();
    two.save();
    CHECK(two.get("one") == "1", "the second does not see the first's");
    CHECK(two.get("both") == "of two", "what it timed itself was overwritten");
    Cache three(path);
    CHECK(three.get("one") == "1" && three.get("two") == "2" && three.get("both") == "of two", "merged");
}

enum { WRITERS = 4, ENTRIES = 25 };

static void write_entries(const string &path, int writer) {
    for (int i = 0; i < ENTRIES; i++) {
        fs_cache *cache;
        if (fs_cache_open(path.c_str(), "key", &cache) != FS_OK) return;
        const string signature = numbered("writer ", writer) + numbered(" entry ", i);
        fs_cache_put(cache, signature.c_str(), "t", i);
        fs_cache_save(cache);
        fs_cache_close(cache);
    }
}

static void expect_all(const string &path) {
    Cache cache(path);
    int lost = 0;
    for (int w = 0; w < WRITERS; w++)
        for (int i = 0; i < ENTRIES; i++) lost += cache.get(numbered("writer ", w) + numbered(" entry ", i)).empty();
    CHECK(lost == 0, "%d of %d entries are lost", lost, WRITERS * ENTRIES);
}

// A reader beside the writers always finds a whole file with what was there when they began.
static void expect_whole(const string &path) {
    CHECK(Cache(path).get("first") == "t", "a reader saw half a file");
}

static void threads() {
    const string path = in_folder("threads.txt");
    {
        Cache cache(path);
        cache.put("first", "t");
        cache.save();
    }
    std::vector<std::thread> writers;
    for (int w = 0; w < WRITERS; w++) writers.emplace_back(write_entries, path, w);
    for (int i = 0; i < 200; i++) expect_whole(path);
    for (std::thread &writer : writers) writer.join();
    expect_all(path);
}

static void processes() {
    const string path = in_folder("processes.txt");
    {
        Cache cache(path);
        cache.put("first", "t");
        cache.save();
    }
    pid_t children[WRITERS];
    for (int w = 0; w < WRITERS; w++) {
        children[w] = fork();
        if (children[w] == 0) {
            write_entries(path, w);
            _exit(0);
        }
    }
    for (int i = 0; i < 200; i++) expect_whole(path);
    for (const pid_t child : children) {
        int status = -1;
        CHECK(waitpid(child, &status, 0) == child && status == 0, "a writer ended with %d", status);
    }
    expect_all(path);
    for (const auto &file : std::filesystem::directory_iterator(folder->path))
        CHECK(file.path().string().find("processes.txt.") == string::npos, "%s stays behind", file.path().c_str());
}

static string path_for(const char *key, size_t size = 4096) {
    std::vector<char> path(size);
    return fs_cache_path(key, path.data(), size) ? path.data() : "";
}

static void paths() {
    unsetenv("FASTSCNN_TUNING_CACHE");
    setenv("HOME", "/home/somebody", 1);
    setenv("XDG_CACHE_HOME", "/var/cache/x", 1);
    const string in_xdg = path_for("key");
    CHECK(in_xdg.rfind("/var/cache/x/fastscnn/tactics-", 0) == 0, "%s", in_xdg.c_str());
    CHECK(path_for("key") == in_xdg && path_for("other") != in_xdg, "one file per key");
    setenv("XDG_CACHE_HOME", "relative", 1); // to be ignored, says its specification
    const string in_home = path_for("key");
    CHECK(in_home.rfind("/home/somebody/.cache/fastscnn/tactics-", 0) == 0, "%s", in_home.c_str());
    setenv("XDG_CACHE_HOME", "", 1);
    CHECK(path_for("key") == in_home, "an empty XDG_CACHE_HOME");
    unsetenv("XDG_CACHE_HOME");
    CHECK(path_for("key") == in_home, "no XDG_CACHE_HOME");
    CHECK(path_for("key", 30).empty(), "a path that does not fit");
    unsetenv("HOME");
    CHECK(path_for("key").empty(), "no home");
    setenv("FASTSCNN_TUNING_CACHE", "/a/file", 1);
    CHECK(path_for("key") == "/a/file" && path_for("other") == "/a/file", "the file that was named");
    CHECK(path_for("key", 7).empty(), "a named path that does not fit");
    setenv("FASTSCNN_TUNING_CACHE", "off", 1);
    setenv("HOME", "/home/somebody", 1);
    CHECK(path_for("key").empty(), "off");
    setenv("FASTSCNN_TUNING_CACHE", "", 1);
    CHECK(path_for("key") == in_home, "an empty FASTSCNN_TUNING_CACHE");
    setenv("FASTSCNN_TUNING_CACHE", "off", 1);
}

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    const Folder made;
    folder = &made;
    check::test("keeps entries", keeps);
    check::test("entries that do not fit", odd_entries);
    check::test("damaged files count as empty", damage);
    check::test("hostile files count as empty", hostility);
    check::test("what is no file", odd_places);
    check::test("two sessions merge", merges);
    check::test("threads lose nothing", threads);
    check::test("processes lose nothing", processes);
    check::test("where it lies", paths);
    return check::finish();
}
