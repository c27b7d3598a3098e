// Lists two folders and pairs their files by stem, telling apart equal stems by the subfolder they are in.
#include "host/cli/pairs.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "host/cli/cli.h"
#include "host/image/image.h"
#include "runtime/base/mem.h"

enum { MAX_FOLDERS_DEEP = 16, COMPLAINTS = 5 };

struct fs_found {
    char *path;  // owned
    size_t root; // length of the folder that was searched
    size_t name; // where the file's name begins
    size_t stem; // its length
    bool used;
};

typedef enum fs_role { ROLE_PICTURE, ROLE_TRUTH, ROLE_PREDICTION } fs_role;

typedef struct fs_listing {
    const char *root;
    fs_role role;
    bool cityscapes;
    fs_found *list;
    size_t count, capacity;
    size_t other_ids; // truth maps of the other numbering, left out
} fs_listing;

static const char *const label_ids_endings[] = {"_gtFine_labelIds", "_gtCoarse_labelIds", NULL};
static const char *const train_ids_endings[] = {"_gtFine_labelTrainIds", "_gtCoarse_labelTrainIds", NULL};
static const char *const no_label_endings[] = {"_gtFine_color",
                                               "_gtFine_instanceIds",
                                               "_gtFine_instanceTrainIds",
                                               "_gtCoarse_color",
                                               "_gtCoarse_instanceIds",
                                               "_gtCoarse_instanceTrainIds",
                                               NULL};
static const char *const drawing_endings[] = {"_overlay", "_color", NULL}; // of `segment`
static const char *const plain_endings[] = {"_leftImg8bit", "_labels", NULL};

static size_t without_extension(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot != NULL && dot != name ? (size_t)(dot - name) : strlen(name);
}

// Length of the ending of name[0..length) that is in the list, 0 for none. A name is never all ending.
static size_t ending_of(const char *name, size_t length, const char *const *endings) {
    for (; *endings != NULL; endings++) {
        const size_t tail = strlen(*endings);
        if (length > tail && memcmp(name + length - tail, *endings, tail) == 0) return tail;
    }
    return 0;
}

// "<city>_<6 digits>_<6 digits>" at the start of name[0..length), the city without an underscore: its length, else 0.
static size_t frame_of(const char *name, size_t length) {
    const char *mark = memchr(name, '_', length);
    if (mark == NULL || mark == name) return 0;
    size_t at = (size_t)(mark - name);
    for (int part = 0; part < 2; part++) {
        if (at + 7 > length || name[at++] != '_') return 0;
        for (int digit = 0; digit < 6; digit++, at++)
            if (name[at] < '0' || name[at] > '9') return 0;
    }
    return at == length || name[at] == '_' ? at : 0;
}

size_t fs_pair_stem(const char *name, bool frames) {
    size_t length = without_extension(name);
    const size_t frame = frames ? frame_of(name, length) : 0;
    if (frame > 0) return frame;
    for (;;) {
        size_t tail = ending_of(name, length, plain_endings);
        if (tail == 0) tail = ending_of(name, length, label_ids_endings);
        if (tail == 0) tail = ending_of(name, length, train_ids_endings);
        if (tail == 0) return length;
        length -= tail;
    }
}

static bool is_wanted(fs_listing *listing, const char *name) {
    const size_t length = without_extension(name);
    const bool label_ids = ending_of(name, length, label_ids_endings) > 0;
    const bool train_ids = ending_of(name, length, train_ids_endings) > 0;
    const bool no_labels = ending_of(name, length, no_label_endings) > 0;
    if (listing->role == ROLE_PICTURE) return fs_image_is_name(name) && !label_ids && !train_ids && !no_labels;
    if (strcasecmp(name + length, ".png") != 0 || no_labels) return false;
    if (listing->role == ROLE_PREDICTION && ending_of(name, length, drawing_endings) > 0) return false;
    // A folder of Cityscapes has its pictures beside the labels when it was searched from its root.
    if (listing->role == ROLE_TRUTH && fs_name_ends(name, "_leftImg8bit.png")) return false;
    const bool other = listing->cityscapes ? train_ids : label_ids;
    if (other) listing->other_ids++;
    return !other;
}

// Takes ownership of `path`, also on failure.
static bool append(fs_listing *listing, char *path) {
    if (listing->count == listing->capacity) {
        const size_t capacity = listing->capacity == 0 ? 64 : 2 * listing->capacity;
        fs_found *list = fs_grow(listing->list, listing->count * sizeof *list, capacity, sizeof *list);
        if (list == NULL) {
            fs_free(path);
            return false;
        }
        listing->list = list;
        listing->capacity = capacity;
    }
    const size_t name = (size_t)(strrchr(path, '/') - path) + 1;
    listing->list[listing->count++] = (fs_found){
        .path = path,
        .root = strlen(listing->root),
        .name = name,
        .stem = fs_pair_stem(path + name, listing->cityscapes),
    };
    return true;
}

static bool out_of_memory(const char *folder) {
    fs_complain("out of memory for the files of '%s'", folder);
    return false;
}

static bool list_folder(fs_listing *listing, const char *path, int depth) {
    if (depth > MAX_FOLDERS_DEEP) {
        fs_complain("'%s' is more than %d folders deep, or a link leads back; name a folder further down", path,
                    MAX_FOLDERS_DEEP);
        return false;
    }
    DIR *folder = opendir(path);
    if (folder == NULL) {
        fs_complain("cannot read the folder '%s': %s", path, strerror(errno));
        return false;
    }
    bool fine = true;
    for (struct dirent *entry = readdir(folder); fine && entry != NULL; entry = readdir(folder)) {
        if (entry->d_name[0] == '.') continue;
        const size_t size = strlen(path) + strlen(entry->d_name) + 2;
        char *name = fs_malloc(size, 1);
        if (name == NULL) {
            fine = out_of_memory(path);
            break;
        }
        snprintf(name, size, "%s/%s", path, entry->d_name);
        struct stat status;
        if (stat(name, &status) == 0 && S_ISDIR(status.st_mode)) {
            fine = list_folder(listing, name, depth + 1);
            fs_free(name);
        } else if (!is_wanted(listing, entry->d_name)) {
            fs_free(name);
        } else if (!append(listing, name)) {
            fine = out_of_memory(path);
        }
    }
    closedir(folder);
    return fine;
}

static int by_stem(const fs_found *a, const fs_found *b) {
    const size_t shorter = a->stem < b->stem ? a->stem : b->stem;
    const int order = memcmp(a->path + a->name, b->path + b->name, shorter);
    if (order != 0) return order;
    return (a->stem > b->stem) - (a->stem < b->stem);
}

static int by_stem_and_path(const void *a, const void *b) {
    const int order = by_stem(a, b);
    return order != 0 ? order : strcmp(((const fs_found *)a)->path, ((const fs_found *)b)->path);
}

static bool list_all(fs_listing *listing) {
    static const char *const kinds[] = {"picture (.png, .jpg, .jpeg, .ppm, .pgm)", "label map (.png)",
                                        "prediction (.png)"};
    // Without the slashes at its end, so that what follows the root is the same for both folders.
    char *root = fs_strdup(listing->root);
    if (root == NULL) return out_of_memory(listing->root);
    for (size_t end = strlen(root); end > 1 && root[end - 1] == '/'; end--) root[end - 1] = '\0';
    listing->root = root;
    bool fine = list_folder(listing, root, 0);
    if (fine && listing->count == 0) {
        const char *hint = "";
        if (listing->other_ids > 0)
            hint = listing->cityscapes ? "; its _labelTrainIds.png need --truth-ids trainid"
                                       : "; its _labelIds.png need --truth-ids cityscapes";
        fs_complain("the folder '%s' has no %s%s", root, kinds[listing->role], hint);
        fine = false;
    }
    if (listing->count > 0) qsort(listing->list, listing->count, sizeof *listing->list, by_stem_and_path);
    fs_free(root);
    listing->root = NULL;
    return fine;
}

static bool same_subfolder(const fs_found *a, const fs_found *b) {
    const size_t length = a->name - a->root;
    return length == b->name - b->root && memcmp(a->path + a->root, b->path + b->root, length) == 0;
}

// The partner of `one` in a sorted list: of the same stem and, where several have it, of the same subfolder. Two
// between which nothing decides go into `several`.
static fs_found *partner_of(const fs_found *one, fs_found *list, size_t count, const fs_found *several[2]) {
    size_t low = 0, high = count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (by_stem(&list[middle], one) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    fs_found *found = NULL;
    size_t equal = 0;
    for (size_t i = low; i < count && by_stem(&list[i], one) == 0; i++, equal++) {
        if (!same_subfolder(one, &list[i])) continue;
        if (found != NULL) { // two in one folder: x.png and x_labels.png
            several[0] = found, several[1] = &list[i];
            return NULL;
        }
        found = &list[i];
    }
    if (found != NULL || equal == 0) return found;
    if (equal == 1) return &list[low];
    several[0] = &list[low], several[1] = &list[low + 1];
    return NULL;
}

static bool pair_up(const fs_pairing *pairing, fs_pairs *pairs, size_t other_ids) {
    fs_found *base = pairing->predictions ? pairs->truths : pairs->ins;
    fs_found *others = pairing->predictions ? pairs->ins : pairs->truths;
    const size_t other_count = pairing->predictions ? pairs->in_count : pairs->truth_count;
    const char *what = pairing->predictions ? "prediction" : "truth";
    for (size_t i = 0; i < pairs->count; i++) {
        const fs_found *several[2] = {NULL, NULL};
        fs_found *partner = partner_of(&base[i], others, other_count, several);
        if (several[0] != NULL) {
            fs_complain("%s: more than one %s: '%s' and '%s'; leave one, or give both trees the same subfolders",
                        base[i].path, what, several[0]->path, several[1]->path);
            return false;
        }
        if (partner != NULL && partner->used) {
            fs_complain("'%s' would be the %s of two files, '%s' among them; name them apart, or give both trees the "
                        "same subfolders",
                        partner->path, what, base[i].path);
            return false;
        }
        if (partner != NULL) partner->used = true;
        if (partner == NULL && pairs->missing++ < COMPLAINTS)
            fs_complain("%s: no %s named '%.*s' in '%s'", base[i].path, what, (int)base[i].stem,
                        base[i].path + base[i].name, pairing->predictions ? pairing->in : pairing->truth);
        const char *other = partner != NULL ? partner->path : NULL;
        pairs->list[i] = pairing->predictions ? (fs_pair){other, base[i].path} : (fs_pair){base[i].path, other};
    }
    if (pairs->missing > COMPLAINTS) fs_complain("and %zu more without %s", pairs->missing - COMPLAINTS, what);
    if (pairs->missing > 0 && !pairing->predictions && other_ids > 0)
        fs_complain("'%s' has maps of the other numbering, which were left out; see --truth-ids", pairing->truth);
    for (size_t i = 0; i < other_count; i++) pairs->unused += !others[i].used;
    return true;
}

bool fs_pairs_find(const fs_pairing *pairing, fs_pairs *pairs) {
    fs_listing in = {.root = pairing->in,
                     .role = pairing->predictions ? ROLE_PREDICTION : ROLE_PICTURE,
                     .cityscapes = pairing->cityscapes};
    fs_listing truth = {.root = pairing->truth, .role = ROLE_TRUTH, .cityscapes = pairing->cityscapes};
    bool fine = list_all(&in) && list_all(&truth);
    *pairs = (fs_pairs){.ins = in.list, .truths = truth.list, .in_count = in.count, .truth_count = truth.count};
    if (fine) {
        pairs->count = pairing->predictions ? truth.count : in.count;
        pairs->list = fs_calloc(pairs->count, sizeof *pairs->list);
        fine = pairs->list != NULL ? pair_up(pairing, pairs, truth.other_ids) : out_of_memory(pairing->in);
    }
    if (!fine) fs_pairs_free(pairs);
    return fine;
}

void fs_pairs_free(fs_pairs *pairs) {
    for (size_t i = 0; i < pairs->in_count; i++) fs_free(pairs->ins[i].path);
    for (size_t i = 0; i < pairs->truth_count; i++) fs_free(pairs->truths[i].path);
    fs_free(pairs->ins);
    fs_free(pairs->truths);
    fs_free(pairs->list);
    *pairs = (fs_pairs){0};
}
