// Public calls on engines: errors, options, opening, information.
#include "host/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/backend.h"
#include "host/module.h"
#include "runtime/base/log.h"
#include "runtime/base/mem.h"
#include "weights/safetensors.h"

#define SAME(a, b) _Static_assert((int)(a) == (int)(b), "public and internal numbers agree")
SAME(FSCNN_ERR_ARGUMENT, FS_ERR_ARGUMENT);
SAME(FSCNN_ERR_STATE, FS_ERR_STATE);
SAME(FSCNN_ERR_UNSUPPORTED, FS_ERR_UNSUPPORTED);
SAME(FSCNN_ERR_TIMEOUT, FS_ERR_TIMEOUT);
SAME(FSCNN_ERR_CANCELLED, FS_ERR_CANCELLED);
SAME(FSCNN_ERR_IO, FS_ERR_IO);
SAME(FSCNN_ERR_FORMAT, FS_ERR_FORMAT);
SAME(FSCNN_ERR_WEIGHTS, FS_ERR_WEIGHTS);
SAME(FSCNN_ERR_LIMIT, FS_ERR_LIMIT);
SAME(FSCNN_ERR_MEMORY, FS_ERR_MEMORY);
SAME(FSCNN_ERR_SYSTEM, FS_ERR_SYSTEM);
SAME(FSCNN_ERR_DEVICE, FS_ERR_DEVICE);
SAME(FSCNN_ERR_BACKEND, FS_ERR_BACKEND);
SAME(FSCNN_ERR_INTERNAL, FS_ERR_INTERNAL);
SAME(FSCNN_PRECISION_FP32, FS_FP32);
SAME(FSCNN_PRECISION_INT8, FS_INT8);
SAME(FSCNN_RGB8, FS_RGB8);
SAME(FSCNN_PLANAR_F32, FS_PLANAR_F32);
SAME(FSCNN_MEMORY_PINNED, FS_MEMORY_PINNED);
SAME(FSCNN_MEMORY_DEVICE, FS_MEMORY_DEVICE);

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

const char *fscnn_version_string(void) {
    return TEXT(FSCNN_VERSION_MAJOR) "." TEXT(FSCNN_VERSION_MINOR) "." TEXT(FSCNN_VERSION_PATCH);
}

const char *fscnn_status_name(fscnn_status status) {
    return fs_status_name((fs_status)status);
}
const char *fscnn_error(void) {
    return fs_error_text();
}

fs_status fs_take_struct(const void *from, void *to, size_t size, const char *name) {
    uint32_t given;
    memcpy(&given, from, sizeof given);
    if (given < sizeof given || given > 4096)
        return fs_fail(FS_ERR_ARGUMENT, "%s.struct_size is %u: fill the struct with %s_init first", name, given, name);
    for (size_t i = size; i < given; i++)
        if (((const char *)from)[i])
            return fs_fail(FS_ERR_UNSUPPORTED,
                           "%s asks for something that this version (%s) does not know; update the library", name,
                           fscnn_version_string());
    memset(to, 0, size);
    memcpy(to, from, given < size ? given : size);
    return FS_OK;
}

fs_status fs_give_struct(const void *from, void *to, size_t size, const char *name) {
    uint32_t room;
    memcpy(&room, to, sizeof room);
    if (room < sizeof room || room > 4096)
        return fs_fail(FS_ERR_ARGUMENT, "%s.struct_size is %u: fill the struct with %s_init first", name, room, name);
    memcpy((char *)to + sizeof room, (const char *)from + sizeof room, (room < size ? room : size) - sizeof room);
    return FS_OK;
}

void fscnn_engine_options_init(fscnn_engine_options *options) {
    if (options) *options = (fscnn_engine_options){.struct_size = sizeof *options};
}

void fscnn_engine_info_init(fscnn_engine_info *info) {
    if (info) *info = (fscnn_engine_info){.struct_size = sizeof *info};
}

void fscnn_backend_info_init(fscnn_backend_info *info) {
    if (info) *info = (fscnn_backend_info){.struct_size = sizeof *info};
}

// The table of a backend, NULL with the reason when this build has none.
static const fs_backend *find(fscnn_backend backend, const char **reason) {
    if (backend != FSCNN_BACKEND_CUDA) return &fs_cpu_backend;
    return fs_module_cuda(reason);
}

fscnn_status fscnn_backend_query(fscnn_backend backend, fscnn_backend_info *info) {
    if (info == NULL) return (fscnn_status)fs_fail(FS_ERR_ARGUMENT, "fscnn_backend_query: info is NULL");
    if (backend != FSCNN_BACKEND_CPU && backend != FSCNN_BACKEND_CUDA)
        return (fscnn_status)fs_fail(FS_ERR_ARGUMENT,
                                     "fscnn_backend_query: ask for FSCNN_BACKEND_CPU or FSCNN_BACKEND_CUDA");
    fscnn_backend_info answer = {.struct_size = sizeof answer};
    const char *reason = "";
    const fs_backend *table = find(backend, &reason);
    if (table) {
        fs_probe probe;
        table->probe(0, &probe);
        answer.usable = probe.usable;
        snprintf(answer.device, sizeof answer.device, "%s", probe.device);
        snprintf(answer.detail, sizeof answer.detail, "%s", probe.detail);
    } else {
        snprintf(answer.detail, sizeof answer.detail, "%s", reason);
    }
    return (fscnn_status)fs_give_struct(&answer, info, sizeof answer, "fscnn_backend_info");
}

static bool runs(const fs_probe *probe, fs_precision precision) {
    return precision == FS_PRECISION_AUTO || (probe->precisions >> precision & 1);
}

// Finds the backend that these options mean and what it says of the machine. AUTO takes the GPU where it is usable and
// runs the precision asked for.
static fs_status choose_backend(const fscnn_engine_options *o, bool planning, fscnn_engine *e, fs_probe *probe) {
    const char *reason = "";
    if (o->backend == FSCNN_BACKEND_AUTO && e->provider != FS_PROVIDER_ONEDNN) {
        e->backend = find(FSCNN_BACKEND_CUDA, &reason);
        if (e->backend) {
            e->backend->probe(e->ordinal, probe);
            if (probe->usable && runs(probe, (fs_precision)o->precision)) return FS_OK;
        }
    }
    e->backend = find(o->backend, &reason);
    if (e->backend == NULL) return fs_fail(FS_ERR_DEVICE, "%s; or use the CPU backend", reason);
    e->backend->probe(e->ordinal, probe);
    return probe->usable || planning ? FS_OK : fs_fail(FS_ERR_DEVICE, "%s", probe->detail);
}

static fs_status refuse_precision(const fs_backend *backend, const fs_probe *probe, fs_precision precision) {
    if (backend == &fs_cpu_backend && precision == FS_INT8)
        return fs_fail(
            FS_ERR_UNSUPPORTED,
            "the cpu backend does not run int8 on this processor: it needs AVX-512 VNNI, and this is %s; leave the "
            "precision to auto",
            probe->kind);
    return fs_fail(FS_ERR_UNSUPPORTED, "the %s backend does not run %s; leave the precision to auto", backend->name,
                   fs_precision_name(precision));
}

fs_status fs_engine_choose(const fscnn_engine_options *given, bool planning, fscnn_engine *e,
                           fs_engine_config *config) {
    fscnn_engine_options o;
    fscnn_engine_options_init(&o);
    if (given) FS_TRY(fs_take_struct(given, &o, sizeof o, "fscnn_engine_options"));
    if ((unsigned)o.backend > FSCNN_BACKEND_CUDA)
        return fs_fail(FS_ERR_ARGUMENT, "backend %d is none of the fscnn_backend values", o.backend);
    if ((unsigned)o.precision > FSCNN_PRECISION_INT8)
        return fs_fail(FS_ERR_ARGUMENT, "precision %d is none of the fscnn_precision values", o.precision);
    FS_TRY(fs_rewrites_parse(o.disable_fusion, &e->rewrites_off));
    if (o.device < 0 || o.device > 1023) return fs_fail(FS_ERR_ARGUMENT, "device = %d is no GPU's ordinal", o.device);
    e->ordinal = o.device;
    const char *kernels = o.kernels ? o.kernels : "auto";
    if (strcmp(kernels, "onednn") == 0)
        e->provider = FS_PROVIDER_ONEDNN;
    else if (strcmp(kernels, "own") == 0)
        e->provider = FS_PROVIDER_OWN;
    else if (strcmp(kernels, "auto") != 0)
        return fs_fail(FS_ERR_ARGUMENT, "kernels '%s' are unknown; known: auto, own, onednn", kernels);
    fs_probe probe;
    FS_TRY(choose_backend(&o, planning, e, &probe));
    if (!runs(&probe, (fs_precision)o.precision))
        return refuse_precision(e->backend, &probe, (fs_precision)o.precision);
    e->precision = o.precision == FSCNN_PRECISION_AUTO ? probe.best : (fs_precision)o.precision;
    if (e->provider == FS_PROVIDER_ONEDNN && e->backend != &fs_cpu_backend)
        return fs_fail(FS_ERR_UNSUPPORTED, "kernels 'onednn' belong to the CPU backend");
    snprintf(e->device, sizeof e->device, "%s", probe.device);
    snprintf(e->kind, sizeof e->kind, "%s", probe.kind);
    e->automatic = o.precision == FSCNN_PRECISION_AUTO;
    e->int8 = runs(&probe, FS_INT8) && e->provider != FS_PROVIDER_ONEDNN;
    *config = (fs_engine_config){.precision = e->precision, .device = o.device, .provider = e->provider};
    return FS_OK;
}

// Whether a comma-separated list has a name.
static bool listed(const char *list, const char *name) {
    const size_t length = strlen(name);
    for (const char *at = list; length && (at = strstr(at, name)) != NULL; at += length)
        if ((at == list || at[-1] == ',') && (at[length] == ',' || at[length] == '\0')) return true;
    return false;
}

fs_status fs_engine_settle(fscnn_engine *e, const char *path, const fs_weights *weights, fs_engine_config *config) {
    if (e->precision == FS_INT8 && !fs_weights_calibrated(weights)) {
        char shown[200];
        fs_printable(path ? path : "weights in memory", shown, sizeof shown);
        return fs_fail(FS_ERR_WEIGHTS,
                       "%s: has no int8 scales: make a calibrated copy with fastscnn calibrate --images DIR --weights "
                       "FILE -o OUT.safetensors and take that, or leave the precision to auto",
                       shown);
    }
    if (e->automatic && e->int8 && fs_weights_calibrated(weights) && listed(weights->int8_passed, e->kind))
        e->precision = config->precision = FS_INT8;
    return FS_OK;
}

// Takes over `weights`.
static fs_status finish(fscnn_engine *e, const fs_engine_config *config, fs_weights *weights) {
    e->model = weights->model;
    for (int i = 0; i < FS_LAYERS; i++) e->int8_layers += weights->int8[i].scale > 0;
    memcpy(e->int8_passed, weights->int8_passed, sizeof e->int8_passed);
    const fs_status status = e->backend->engine_open(weights, config, &e->state);
    fs_weights_free(weights);
    return status;
}

fs_status fs_engine_weights(const char *path, const void *data, size_t size, fs_weights *weights, fs_labels *labels) {
    if (data) return fs_weights_parse(data, size, "weights in memory", weights, labels);
    if (strncmp(path, "random:", 7) != 0) return fs_weights_load(path, weights, labels);
    char *end;
    errno = 0;
    const unsigned long long seed = strtoull(path + 7, &end, 10);
    if (path[7] < '0' || path[7] > '9' || *end || errno == ERANGE)
        return fs_fail(FS_ERR_ARGUMENT, "'%s': write random:SEED with a whole number, as random:1", path);
    fs_model model;
    fs_model_init(&model, FS_PAPER);
    return fs_weights_random(&model, seed, weights, labels);
}

static fscnn_status open_engine(const char *path, const void *data, size_t size, const fscnn_engine_options *options,
                                fscnn_engine **engine) {
    fscnn_engine *e = fs_calloc(1, sizeof *e);
    if (e == NULL) return (fscnn_status)fs_fail(FS_ERR_MEMORY, "out of memory for an engine");
    atomic_init(&e->references, 1);
    fs_engine_config config;
    fs_weights weights = {0};
    fs_status status = fs_engine_choose(options, false, e, &config);
    if (status == FS_OK) status = fs_engine_weights(path, data, size, &weights, &e->labels);
    if (status == FS_OK) {
        status = fs_engine_settle(e, path, &weights, &config);
        if (status != FS_OK) fs_weights_free(&weights);
    }
    if (status == FS_OK) status = finish(e, &config, &weights);
    if (status != FS_OK) {
        fs_free(e);
        return (fscnn_status)status;
    }
    fs_log(3, "engine: %s, %d classes, %s on %s", fs_variant_name(e->model.variant), e->model.classes,
           fs_precision_name(e->precision), e->device);
    *engine = e;
    return FSCNN_OK;
}

fscnn_status fscnn_engine_open(const char *weights, const fscnn_engine_options *options, fscnn_engine **engine) {
    if (weights == NULL || engine == NULL)
        return (fscnn_status)fs_fail(FS_ERR_ARGUMENT, "fscnn_engine_open: weights and engine must not be NULL");
    return open_engine(weights, NULL, 0, options, engine);
}

fscnn_status fscnn_engine_open_memory(const void *data, size_t size, const fscnn_engine_options *options,
                                      fscnn_engine **engine) {
    if (data == NULL || engine == NULL)
        return (fscnn_status)fs_fail(FS_ERR_ARGUMENT, "fscnn_engine_open_memory: data and engine must not be NULL");
    return open_engine(NULL, data, size, options, engine);
}

void fs_engine_release(fscnn_engine *e) {
    if (atomic_fetch_sub(&e->references, 1) != 1) return;
    e->backend->engine_close(e->state);
    fs_free(e);
}

void fscnn_engine_close(fscnn_engine **engine) {
    if (engine == NULL || *engine == NULL) return;
    fs_engine_release(*engine);
    *engine = NULL;
}

fscnn_status fscnn_engine_get_info(const fscnn_engine *e, fscnn_engine_info *info) {
    if (e == NULL || info == NULL)
        return (fscnn_status)fs_fail(FS_ERR_ARGUMENT, "fscnn_engine_get_info: engine and info must not be NULL");
    const fscnn_engine_info answer = {
        .struct_size = sizeof answer,
        .backend = e->backend == &fs_cpu_backend ? FSCNN_BACKEND_CPU : FSCNN_BACKEND_CUDA,
        .precision = (fscnn_precision)e->precision,
        .channels = e->model.channels,
        .classes = e->model.classes,
        .variant = fs_variant_name(e->model.variant),
        .device = e->device,
        .weights_bytes = e->backend->engine_bytes(e->state),
        .kernels = e->backend->engine_kernels(e->state),
        .int8_passed = e->int8_passed,
        .int8_layers = e->int8_layers,
        .int8_here = e->int8 && e->int8_layers > 0 && listed(e->int8_passed, e->kind),
    };
    return (fscnn_status)fs_give_struct(&answer, info, sizeof answer, "fscnn_engine_info");
}

const char *fscnn_engine_class_name(const fscnn_engine *e, int32_t index) {
    return e && index >= 0 && index < e->model.classes ? e->labels.name[index] : NULL;
}

fscnn_status fscnn_engine_class_color(const fscnn_engine *e, int32_t index, uint8_t rgb[3]) {
    if (e == NULL || rgb == NULL || index < 0 || index >= e->model.classes)
        return (fscnn_status)fs_fail(FS_ERR_ARGUMENT, "fscnn_engine_class_color: class %d is not one of the model's",
                                     index);
    memcpy(rgb, e->labels.palette[index], 3);
    return FSCNN_OK;
}
