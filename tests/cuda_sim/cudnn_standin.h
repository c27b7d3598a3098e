// The controls of the stand-in for cuDNN: what is alive, what was done wrong, which call fails.
//
// The library speaks as much of cuDNN's graph API as cuda/cudnn.c uses, on the simulated CUDA runtime: FASTSCNN_CUDNN
// is its path. Programs that link it as well see the same counts. It proposes engines of every kind that a caller must
// cope with:
//   1  no workspace, with two settings of its knobs; proposed a second time by the fallback list
//   2  needs a workspace, which it fills with NaN
//   3  compiles at run time      4  refuses when a plan is finalised      5  gives other bits each time
//   0  the last resort, without knobs
// A convolution runs as one piece of work on the handle's stream: half maps, sums in float, in a fixed order.
#ifndef FS_TESTS_CUDNN_STANDIN_H
#define FS_TESTS_CUDNN_STANDIN_H

#ifdef __cplusplus
extern "C" {
#endif

// Descriptors and handles that exist now.
long standin_live(void);
// Calls since the start that could fail: all but destroying and asking for texts or versions.
long standin_calls(void);
// The n-th such call from now (1: the next one) does nothing and returns `status` of cudnnStatus_t. n == 0 cancels.
void standin_fail_at(long n, int status);
int standin_fault_fired(void);
// What cuDNN would not have survived or noticed: use of what is destroyed, a plan of nothing, one handle in two threads
// at once, a pointer that is not aligned. The latest one's text; "" when there is none.
const char *standin_misuse(void);

#ifdef __cplusplus
}
#endif
#endif
