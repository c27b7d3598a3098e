// libfastscnn: real-time semantic segmentation with Fast-SCNN (arXiv 1902.04502): camera frame in, class map out.
//
//     fscnn_engine *engine;  fscnn_session *session;
//     fscnn_engine_open("model.safetensors", NULL, &engine);
//     fscnn_session_open(engine, NULL, &session);
//     fscnn_run(session, &frame, &outputs);
//     fscnn_session_close(&session);  fscnn_engine_close(&engine);
//
// An engine holds the weights; it is immutable after opening and may be shared by any number of threads. A session
// holds the buffers and worker threads for one network size; one thread at a time. Every call that can fail returns an
// fscnn_status and leaves its outputs untouched on failure; fscnn_error() has the reason in words. The library never
// prints, aborts or exits. Structs begin with struct_size: fill them with their _init function, then set what you need;
// zero in any other field means its default. C99 and C++; no other header of this library or of CUDA is needed.
#ifndef FASTSCNN_H
#define FASTSCNN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FSCNN_VERSION_MAJOR 0
#define FSCNN_VERSION_MINOR 1
#define FSCNN_VERSION_PATCH 0

#if defined(FSCNN_STATIC)
#define FSCNN_API
#else
#define FSCNN_API __attribute__((visibility("default")))
#endif

// "0.1.0": the version of the library that is running, which may be newer than the header. Static storage.
FSCNN_API const char *fscnn_version_string(void);

// ---- Errors -----------------------------------------------------------------------------------------------------

// Values are pinned, in bands of ten; new ones are added at the end of a band.
typedef enum fscnn_status {
    FSCNN_OK = 0,
    FSCNN_ERR_ARGUMENT = 1,    // NULL, out of range, contradictory
    FSCNN_ERR_STATE = 2,       // right call, wrong moment
    FSCNN_ERR_UNSUPPORTED = 3, // valid, but this build or backend cannot do it
    FSCNN_ERR_TIMEOUT = 4,     // the wait ended before the frame did; the frame goes on
    FSCNN_ERR_CANCELLED = 5,   // the frame was cancelled before it began; its outputs are untouched
    FSCNN_ERR_IO = 10,         // cannot open, read or write
    FSCNN_ERR_FORMAT = 11,     // not the format it claims to be, truncated or damaged
    FSCNN_ERR_WEIGHTS = 12,    // a sound file whose tensors do not fit the network
    FSCNN_ERR_LIMIT = 13,      // larger than this library accepts
    FSCNN_ERR_MEMORY = 20,     // an allocation failed
    FSCNN_ERR_SYSTEM = 21,     // the operating system refused
    FSCNN_ERR_DEVICE = 30,     // no usable device
    FSCNN_ERR_BACKEND = 31,    // a backend library failed
    FSCNN_ERR_INTERNAL = 40    // a bug in this library
} fscnn_status;

// Short name of a status ("weights", "timeout"); never NULL. Static storage. Any thread.
FSCNN_API const char *fscnn_status_name(fscnn_status status);
// The text of this thread's last failure, "" before the first. Valid until the thread's next failing call.
FSCNN_API const char *fscnn_error(void);

typedef enum fscnn_log_level {
    FSCNN_LOG_ERROR = 1,
    FSCNN_LOG_WARNING = 2,
    FSCNN_LOG_INFO = 3,
    FSCNN_LOG_DEBUG = 4
} fscnn_log_level;
typedef void (*fscnn_log_fn)(void *user, fscnn_log_level level, const char *message);
// Messages up to `level` go to `callback` (NULL: nowhere, the default). Process-wide; call it before opening engines.
// The callback may run on any thread that calls the library, never on the frame path.
FSCNN_API void fscnn_set_log(fscnn_log_fn callback, void *user, fscnn_log_level level);

// ---- Engine -----------------------------------------------------------------------------------------------------

typedef struct fscnn_engine fscnn_engine;   // thread-safe, immutable, shared by sessions
typedef struct fscnn_session fscnn_session; // one thread at a time

typedef enum fscnn_backend { FSCNN_BACKEND_AUTO = 0, FSCNN_BACKEND_CPU = 1, FSCNN_BACKEND_CUDA = 2 } fscnn_backend;

typedef enum fscnn_precision {
    FSCNN_PRECISION_AUTO = 0, // the fastest that this machine computes natively and that holds the accuracy bound
    FSCNN_PRECISION_FP32 = 1,
    FSCNN_PRECISION_BF16 = 2, // bfloat16 storage and products, float accumulation
    FSCNN_PRECISION_FP16 = 3, // CUDA: half storage and products, float accumulation
    FSCNN_PRECISION_INT8 = 4
} fscnn_precision;

typedef struct fscnn_engine_options {
    uint32_t struct_size; // set by fscnn_engine_options_init
    fscnn_backend backend;
    fscnn_precision precision;
    int32_t device;             // ordinal of the GPU; ignored by the CPU backend
    const char *disable_fusion; // comma-separated names of rewrites to leave out ("all" for every one), NULL for none
    // Whose convolutions. NULL or "auto": our own on the CPU; on CUDA for each step our own or cuDNN's, whichever is
    // quicker. "own": our own. "onednn": CPU, oneDNN's, where the build has it, to compare with (it allocates on every
    // frame). Results differ in rounding.
    const char *kernels;
} fscnn_engine_options;
FSCNN_API void fscnn_engine_options_init(fscnn_engine_options *options);

// Opens a safetensors weights file (see docs/weights.md; weights/convert.py makes one from a published checkpoint), or
// "random:SEED" for deterministic random weights of the paper's network with 19 classes. NULL options: all defaults.
// *engine is written only on success; free it with fscnn_engine_close. Any thread.
FSCNN_API fscnn_status fscnn_engine_open(const char *weights, const fscnn_engine_options *options,
                                         fscnn_engine **engine);
// Weights from memory (a whole safetensors file; copied, may be freed after the call).
FSCNN_API fscnn_status fscnn_engine_open_memory(const void *data, size_t size, const fscnn_engine_options *options,
                                                fscnn_engine **engine);
// Frees the engine when its last session is closed, nulls the caller's pointer; accepts NULL and a pointer to NULL.
FSCNN_API void fscnn_engine_close(fscnn_engine **engine);

typedef struct fscnn_engine_info {
    uint32_t struct_size; // set by fscnn_engine_info_init
    fscnn_backend backend;
    fscnn_precision precision; // what AUTO became
    int32_t channels;          // 3: RGB; 4: RGB and A (thermal, say)
    int32_t classes;
    const char *variant;    // "paper", "tramac", "mmseg", "paddleseg", "leftthomas"; owned by the engine
    const char *device;     // "AMD EPYC 7763, AVX2"; owned by the engine
    uint64_t weights_bytes; // of prepared weights, shared by all sessions
    const char *kernels;    // "own", "onednn" or "own, cudnn"; static storage
    // What calibration left in the weights: the kinds of machine, with commas between, on which int8 held accuracy and
    // speed ("": none; owned by the engine); layers with int8 scales; 1 when this machine is of such a kind, so that
    // AUTO takes int8.
    const char *int8_passed;
    int32_t int8_layers;
    int32_t int8_here;
} fscnn_engine_info;
FSCNN_API void fscnn_engine_info_init(fscnn_engine_info *info);
FSCNN_API fscnn_status fscnn_engine_get_info(const fscnn_engine *engine, fscnn_engine_info *info);
// Name of a class, NULL when out of range; owned by the engine. Its display colour as RGB.
FSCNN_API const char *fscnn_engine_class_name(const fscnn_engine *engine, int32_t index);
FSCNN_API fscnn_status fscnn_engine_class_color(const fscnn_engine *engine, int32_t index, uint8_t rgb[3]);

typedef enum fscnn_memory { FSCNN_MEMORY_HOST = 0, FSCNN_MEMORY_PINNED = 1, FSCNN_MEMORY_DEVICE = 2 } fscnn_memory;
// Memory for frames and outputs: host; pinned, which the GPU reads and writes by itself; or the GPU's own. A backend
// without a device has host memory for the first two and FSCNN_ERR_UNSUPPORTED for the third. Free it before the engine
// is closed. copy goes between any two kinds, and returns when the bytes are there. Any thread.
FSCNN_API fscnn_status fscnn_buffer_alloc(fscnn_engine *engine, fscnn_memory memory, size_t bytes, void **buffer);
FSCNN_API void fscnn_buffer_free(fscnn_engine *engine, fscnn_memory memory, void **buffer); // nulls the pointer
FSCNN_API fscnn_status fscnn_buffer_copy(fscnn_engine *engine, void *to, const void *from, size_t bytes);

// ---- Frames and outputs -----------------------------------------------------------------------------------------

typedef enum fscnn_format {
    FSCNN_RGB8 = 1,
    FSCNN_BGR8 = 2,
    FSCNN_RGBA8 = 3, // A is the 4th channel of a 4-channel model, ignored by a 3-channel one
    FSCNN_BGRA8 = 4,
    FSCNN_GRAY8 = 5,
    FSCNN_NV12 = 6,
    FSCNN_I420 = 7,
    FSCNN_PLANAR_F32 = 8 // [channels] planes of float in 0..1, rounded to u8; planes and strides: multiples of 4 bytes
} fscnn_format;

typedef enum fscnn_matrix { FSCNN_MATRIX_AUTO = 0, FSCNN_MATRIX_BT601 = 1, FSCNN_MATRIX_BT709 = 2 } fscnn_matrix;
typedef enum fscnn_range { FSCNN_RANGE_AUTO = 0, FSCNN_RANGE_LIMITED = 1, FSCNN_RANGE_FULL = 2 } fscnn_range;

// One picture of any size up to 65536 a side, borrowed: the pixels must stay valid and unchanged until the frame's wait
// returns. Where it is not of the network's size it is resized to it: converted to u8, then bilinear, half-pixel
// centres. Both backends make the same bytes of a frame. A 4-channel model takes RGBA8, BGRA8 and PLANAR_F32.
typedef struct fscnn_frame {
    uint32_t struct_size; // set by fscnn_frame_init
    fscnn_format format;
    int32_t width, height; // pixels
    const void *plane[4];
    size_t stride[4]; // bytes from one row to the next; 0 means tightly packed
    fscnn_memory memory;
    fscnn_matrix matrix; // NV12, I420: AUTO is BT.709 from 720 rows up, else BT.601
    fscnn_range range;   // NV12, I420: AUTO is limited
} fscnn_frame;
FSCNN_API void fscnn_frame_init(fscnn_frame *frame, fscnn_format format, int32_t width, int32_t height,
                                const void *pixels);

// The size of maps that a frame gives: the session's network size, or the frame's own, where the logits are brought to
// it (bilinear, aligned as the model prescribes) before anything is made of them. FRAME takes frames up to 16384 a
// side.
typedef enum fscnn_output_size { FSCNN_SIZE_NETWORK = 0, FSCNN_SIZE_FRAME = 1 } fscnn_output_size;

typedef enum fscnn_score_type { FSCNN_SCORE_F32 = 0, FSCNN_SCORE_F16 = 1 } fscnn_score_type; // float, IEEE half

// What to compute; each pointer is optional (NULL: not computed, costs nothing). Caller's memory, of the size that
// `size` says, not overlapping the frame. Host memory is written only when the frame succeeds; pinned and device
// memory is written by the device, so after a failure of the device in mid-frame it is undefined.
typedef struct fscnn_outputs {
    uint32_t struct_size;      // set by fscnn_outputs_init
    uint8_t *labels;           // [height][labels_stride]: class index per pixel; ties go to the lowest index
    size_t labels_stride;      // bytes; 0 means width
    const uint8_t *labels_map; // 256 entries applied to each label, or NULL; borrowed like the frame
    float *logits;             // [classes][height][width] before softmax, bilinear from 1/8 size; float32
    fscnn_memory memory;       // of what is written; PINNED and DEVICE: CUDA backend
    uint8_t *confidence;       // [height][confidence_stride]: 255 * softmax probability of the most probable class
    size_t confidence_stride;  // bytes; 0 means width
    uint32_t *histogram;       // [classes]: pixels of each class, before labels_map
    fscnn_output_size size;    // of every map; [height][width] are its sides
    fscnn_score_type score_type;
    void *scores; // [classes][height][width]: softmax probabilities, of score_type; a pixel with a NaN has NaNs
    // [height][overlay_stride] of R, G, B, A bytes: the picture (in RGB, as the network sees it or of the frame's size)
    // with the colours of the classes, before labels_map, mixed in: (picture * (256 - share) + colour * share + 128) /
    // 256, share being 256 * overlay_alpha rounded. Pixels whose right or lower neighbour is of another class have half
    // of that. A is 255, whatever the frame has there.
    uint8_t *overlay;
    size_t overlay_stride;  // bytes; 0 means 4 * width
    float overlay_alpha;    // share of the colours, up to 1; 0 means 0.5
    const uint8_t *palette; // [256][3]: R, G, B by class, borrowed like the frame; NULL: fscnn_engine_class_color's
} fscnn_outputs;
FSCNN_API void fscnn_outputs_init(fscnn_outputs *outputs);

// ---- Session ----------------------------------------------------------------------------------------------------

// Told of a frame that is over: its ticket, and FSCNN_OK (the outputs are written), FSCNN_ERR_CANCELLED, or what failed
// (fscnn_error() has the words). Once for each frame that fscnn_submit, fscnn_run or fscnn_session_profile took, in
// order, on a thread of the library (CPU: a worker; CUDA: one of the driver's, or after a failure the caller's). It has
// returned when the wait for that frame returns, and for all frames when fscnn_session_close does. Until it returns the
// next frame may have to wait, so do little: signal another thread, which then waits for the ticket without blocking.
// Inside it, calls that run, wait for or cancel frames of its session give FSCNN_ERR_STATE, and fscnn_session_close
// does nothing; on CUDA no call of CUDA or on any CUDA session is allowed. It must not throw or jump out.
typedef void (*fscnn_done_fn)(void *user, uint64_t ticket, fscnn_status status);

typedef struct fscnn_session_options {
    uint32_t struct_size;  // set by fscnn_session_options_init
    int32_t width, height; // network size; 0 means 2048 x 1024. 64..16384 each, any value
    int32_t threads;       // CPU worker threads; 0 means one per available core
    int32_t in_flight;     // frames that may be submitted and not yet waited for, 1..16; 0 means 2
    int32_t tune;  // 0: time the tactics of each step while opening, -1: take the first. CPU: all give identical bits;
                   // CUDA: they may round differently, the choice is kept in a cache file (docs/embedding.md)
    int32_t eager; // CUDA: 1 launches step by step, so that a profiler sees steps; 0 replays a captured graph
    void *stream;  // CUDA: a cudaStream_t of the caller to compute on; NULL: one of the session's own. Borrowed until
                   // the session is closed. Frames in device memory are read, outputs there written, in its order.
    fscnn_done_fn done; // called when a frame is over; NULL: nobody is told
    void *done_user;    // handed to it
} fscnn_session_options;
FSCNN_API void fscnn_session_options_init(fscnn_session_options *options);

// Allocates everything that frames of this size need, starts the workers, tunes. The session keeps the engine alive.
FSCNN_API fscnn_status fscnn_session_open(fscnn_engine *engine, const fscnn_session_options *options,
                                          fscnn_session **session);
// Cancels the frames that have not begun, as fscnn_cancel does, waits for the rest, frees, nulls the pointer; accepts
// NULL and a pointer to NULL. Frames that are finished by this have their outputs written. After it no memory of the
// caller is touched and no callback is called any more.
FSCNN_API void fscnn_session_close(fscnn_session **session);

typedef struct fscnn_session_info {
    uint32_t struct_size; // set by fscnn_session_info_init
    int32_t width, height, threads, in_flight, steps;
    uint64_t arena_bytes;   // activations
    uint64_t scratch_bytes; // all other memory of this session
    uint64_t flops;         // per frame, 2 per multiply-add
    uint64_t host_bytes;    // CUDA: host memory of this session (the two above are device memory then)
} fscnn_session_info;
FSCNN_API void fscnn_session_info_init(fscnn_session_info *info);
FSCNN_API fscnn_status fscnn_session_get_info(const fscnn_session *session, fscnn_session_info *info);

// Runs one frame to its end: submit and wait.
FSCNN_API fscnn_status fscnn_run(fscnn_session *session, const fscnn_frame *frame, const fscnn_outputs *outputs);

// Queues a frame and returns at once with its ticket (counting from 1). No allocation, no lock. FSCNN_ERR_STATE when
// in_flight frames have not been waited for. The structs are copied; the memory that they point to is not.
FSCNN_API fscnn_status fscnn_submit(fscnn_session *session, const fscnn_frame *frame, const fscnn_outputs *outputs,
                                    uint64_t *ticket);
// Waits for a ticket. timeout_ns < 0: for ever; 0: polls. FSCNN_ERR_TIMEOUT leaves the frame running. Frames finish in
// order; waiting for one releases all before it. A ticket waited for already gives FSCNN_ERR_STATE, one that was
// cancelled FSCNN_ERR_CANCELLED.
FSCNN_API fscnn_status fscnn_wait(fscnn_session *session, uint64_t ticket, int64_t timeout_ns);
// Never blocks: FSCNN_OK when the frame is done, FSCNN_ERR_TIMEOUT while it runs, and all else as fscnn_wait, of which
// this is the one with timeout 0: a frame found done is released, its outputs are written.
FSCNN_API fscnn_status fscnn_poll(fscnn_session *session, uint64_t ticket);
// Takes back the frames that have not begun, and returns at once. Their outputs stay untouched, and waiting for them
// gives FSCNN_ERR_CANCELLED, as the callback does; until then they count as in flight. The frame that is being computed
// is finished. The session goes on and takes frames as before. CUDA: what was submitted is in the queue of the device,
// which computes it in any case. So frames with outputs in host memory are cancelled in that nothing is handed over,
// and frames whose outputs the device writes itself, in pinned or device memory, are finished.
FSCNN_API fscnn_status fscnn_cancel(fscnn_session *session);

// ---- Plan -------------------------------------------------------------------------------------------------------

typedef enum fscnn_plan_format { FSCNN_PLAN_TEXT = 0, FSCNN_PLAN_JSON = 1, FSCNN_PLAN_DOT = 2 } fscnn_plan_format;
// The session's plan: each step with shapes, bytes, FLOPs, tactic and its roofline time on `device` ("h100", "a100",
// "rtx4090", "orin", "cpu"; NULL for the session's own). *text is allocated: free it with fscnn_text_free.
FSCNN_API fscnn_status fscnn_session_plan(const fscnn_session *session, fscnn_plan_format format, const char *device,
                                          char **text);
// The plan that such a session would have, printed without opening it: the backend's device need not be there. Options
// may be NULL. *text as above.
FSCNN_API fscnn_status fscnn_plan_describe(const char *weights, const fscnn_engine_options *engine_options,
                                           const fscnn_session_options *session_options, fscnn_plan_format format,
                                           const char *device, char **text);
FSCNN_API void fscnn_text_free(char **text);

// ---- Steps and profiling ----------------------------------------------------------------------------------------

typedef struct fscnn_step_info {
    uint32_t struct_size;            // set by fscnn_step_info_init
    int32_t launches;                // kernels; CPU: barriers between the threads
    const char *name;                // "gfe.b1.0": what stands before the first '.' is the module; owned by the session
    const char *kind;                // "bottleneck"; static storage
    const char *tactic;              // what runs it, "" where nothing was chosen; owned by the session
    int32_t height, width, channels; // of the map that it makes
    uint64_t flops, read_bytes, written_bytes, weight_bytes; // of one frame, maps inside a fused step left out
    // By the roofline of the device asked for: its name and description, the least time, what sets it ("compute",
    // "memory" or "launch"), and the rates at this session's precision, in operations and bytes a second. Texts are in
    // static storage.
    const char *roofline, *roofline_about;
    double roofline_us;
    const char *bound;
    double peak_flops, peak_bandwidth;
} fscnn_step_info;
FSCNN_API void fscnn_step_info_init(fscnn_step_info *info);
// Step `index` of 0 .. fscnn_session_info.steps - 1, in the order in which they run. `device`: as for
// fscnn_session_plan.
FSCNN_API fscnn_status fscnn_session_get_step(const fscnn_session *session, int32_t index, const char *device,
                                              fscnn_step_info *info);

// When a step ran, in microseconds since its frame was submitted.
typedef struct fscnn_step_time {
    double begin_us, end_us;
} fscnn_step_time;
// Runs one frame to its end, as fscnn_run, and says when each of its steps ran: times[0 .. steps - 1] are written on
// success. CPU: until the last worker is done with a step. CUDA: by events on the stream between the steps, which are
// launched one by one instead of as a graph, so the frame takes longer than in fscnn_run. FSCNN_ERR_STATE while frames
// are in flight, FSCNN_ERR_ARGUMENT when `count` is not the session's number of steps.
FSCNN_API fscnn_status fscnn_session_profile(fscnn_session *session, const fscnn_frame *frame,
                                             const fscnn_outputs *outputs, fscnn_step_time *times, int32_t count);
// Opens (on != 0) and closes the window that a profiler records: cudaProfilerStart and cudaProfilerStop, for
// `nsys profile --capture-range=cudaProfilerApi`. FSCNN_ERR_UNSUPPORTED on a backend without such a window.
FSCNN_API fscnn_status fscnn_engine_profiler_window(fscnn_engine *engine, int32_t on);

// ---- Calibration ------------------------------------------------------------------------------------------------

// Makes a model fit for int8: sees typical frames, and writes a copy of the weights file that says how each layer's
// input becomes bytes. One thread at a time.
typedef struct fscnn_calibrator fscnn_calibrator;
// Reads a safetensors weights file. *calibrator is written only on success; free it with fscnn_calibrator_close.
FSCNN_API fscnn_status fscnn_calibrator_open(const char *weights, fscnn_calibrator **calibrator);
FSCNN_API void fscnn_calibrator_close(fscnn_calibrator **calibrator);            // nulls the pointer; accepts NULL
FSCNN_API int32_t fscnn_calibrator_channels(const fscnn_calibrator *calibrator); // of its frames: 3 or 4
// Runs the network on one frame in plain precise arithmetic, which takes seconds a megapixel and some 400 bytes a
// pixel. RGB8, or RGBA8 for a model of 4 channels, in host memory; the network runs at the frame's own size, 64..16384
// a side.
FSCNN_API fscnn_status fscnn_calibrator_add(fscnn_calibrator *calibrator, const fscnn_frame *frame);

typedef struct fscnn_calibrated_layer {
    uint32_t struct_size; // set by fscnn_calibrated_layer_init
    int32_t candidate;    // 1: the layer can run in int8; 0: it never does
    const char *name;     // "gfe.b1.0.expand"; static storage
    double error; // what int8 alters the layer's output by, relative to how much that varies (root mean squares)
    double scale; // of its input
    int32_t zero; // the byte that stands for 0
} fscnn_calibrated_layer;
FSCNN_API void fscnn_calibrated_layer_init(fscnn_calibrated_layer *layer);
// Layers count from 0 to 44. FSCNN_ERR_STATE before the first frame.
FSCNN_API fscnn_status fscnn_calibrator_get_layer(fscnn_calibrator *calibrator, int32_t index,
                                                  fscnn_calibrated_layer *layer);
// Writes the copy; layers of a larger error stay precise. The file appears whole or not at all. FSCNN_ERR_STATE before
// the first frame, or when no layer would run in int8.
FSCNN_API fscnn_status fscnn_calibrator_save(fscnn_calibrator *calibrator, double max_error, const char *path);

// ---- Devices ----------------------------------------------------------------------------------------------------

typedef struct fscnn_backend_info {
    uint32_t struct_size; // set by fscnn_backend_info_init
    int32_t usable;       // 1 or 0
    char device[128];     // "AMD EPYC 7763, 2 cores, AVX2"
    char detail[512];     // libraries and precisions; when not usable, why and what to do
} fscnn_backend_info;
FSCNN_API void fscnn_backend_info_init(fscnn_backend_info *info);
// FSCNN_OK with usable = 0 when the backend is absent. FSCNN_ERR_ARGUMENT for FSCNN_BACKEND_AUTO.
FSCNN_API fscnn_status fscnn_backend_query(fscnn_backend backend, fscnn_backend_info *info);

#ifdef __cplusplus
}
#endif
#endif
