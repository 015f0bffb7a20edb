// A driver without a GPU, for tests: it answers as the environment says, and keeps the books.
//
// STUB_DEVICES: how many devices. STUB_INIT, STUB_MODULE, STUB_STREAM: results of cuInit, cuModuleLoad and
// cuStreamCreate; cuInit also takes "crash" and "hang". STUB_VERSION: of the driver. STUB_PART: what the
// devices' names end in. Unless CUDA_DEVICE_ORDER is PCI_BUS_ID, the devices come in the opposite order, as
// if the second were the faster one.

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { kInvalidValue = 1, kOutOfMemory = 2, kNoDevice = 100, kInvalidDevice = 101, kInvalidContext = 201 };

static int number(const char* variable, int otherwise) {
    const char* text = getenv(variable);
    return text ? atoi(text) : otherwise;
}

static int count(void) { return number("STUB_DEVICES", 0); }

static int place(int device) {
    const char* order = getenv("CUDA_DEVICE_ORDER");
    return order && strcmp(order, "PCI_BUS_ID") == 0 ? device : count() - 1 - device;
}

int cuInit(unsigned flags) {
    const char* said = getenv("STUB_INIT");
    if (flags) return kInvalidValue;
    if (said && strcmp(said, "crash") == 0) abort();
    if (said && strcmp(said, "hang") == 0)
        for (;;) sleep(60);
    if (said) return atoi(said);
    return count() ? 0 : kNoDevice;
}

int cuDriverGetVersion(int* version) {
    *version = number("STUB_VERSION", 13000);
    return 0;
}

int cuDeviceGetCount(int* devices) {
    *devices = count();
    return 0;
}

int cuDeviceGet(int* device, int index) {
    if (index < 0 || index >= count()) return kInvalidDevice;
    *device = index;
    return 0;
}

int cuDeviceGetName(char* name, int bytes, int device) {
    const char* suffix = getenv("STUB_PART");
    snprintf(name, (size_t)bytes, "Stub %c%s", 'A' + place(device), suffix ? suffix : "");
    return 0;
}

int cuDeviceGetPCIBusId(char* id, int bytes, int device) {
    snprintf(id, (size_t)bytes, "0000:%02X:00.0", 0x3B + place(device));
    return 0;
}

int cuDeviceTotalMem_v2(size_t* bytes, int device) {
    *bytes = (size_t)(place(device) + 1) << 34;
    return 0;
}

int cuDeviceGetUuid_v2(unsigned char* uuid, int device) {
    for (int i = 0; i < 16; ++i) uuid[i] = (unsigned char)(16 * place(device) + i);
    return 0;
}

int cuDeviceGetAttribute(int* value, int attribute, int device) {
    if (attribute == 75) *value = place(device) ? 9 : 7;
    if (attribute == 76) *value = place(device) ? 0 : 5;
    return attribute == 75 || attribute == 76 ? 0 : kInvalidValue;
}

int cuGetErrorName(int code, const char** name) {
    if (code != 803) return kInvalidValue;
    *name = "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH";
    return 0;
}

int cuGetErrorString(int code, const char** words) {
    *words = code == kOutOfMemory ? "out of memory" : "stub error";
    return 0;
}

// Contexts: one for each device, retained by the process, current by the thread.

static char contexts[8];
static int retained;
static __thread void* stack[8];
static __thread int depth;

int cuDevicePrimaryCtxRetain(void** context, int device) {
    ++retained;
    *context = &contexts[device];
    return 0;
}

int cuDevicePrimaryCtxRelease_v2(int device) {
    (void)device;
    --retained;
    return 0;
}

int cuCtxPushCurrent_v2(void* context) {
    if (depth == 8) return kOutOfMemory;
    stack[depth++] = context;
    return 0;
}

int cuCtxPopCurrent_v2(void** context) {
    if (depth == 0) return kInvalidContext;
    *context = stack[--depth];
    return 0;
}

int stub_depth(void) { return depth; }
int stub_retained(void) { return retained; }

// What is allocated and not freed. All need a context, as the real ones do.

static int live;

static int made(void** thing, size_t bytes) {
    if (depth == 0) return kInvalidContext;
    if (bytes > (size_t)1 << 30) return kOutOfMemory;
    __atomic_add_fetch(&live, 1, __ATOMIC_SEQ_CST);
    return posix_memalign(thing, 256, bytes ? bytes : 1) ? kOutOfMemory : 0;
}

static int freed(void* thing) {
    if (depth == 0) return kInvalidContext;
    __atomic_sub_fetch(&live, 1, __ATOMIC_SEQ_CST);
    free(thing);
    return 0;
}

int stub_live(void) { return live; }

int cuMemAlloc_v2(void** address, size_t bytes) { return made(address, bytes); }
int cuMemFree_v2(void* address) { return freed(address); }
int cuMemFreeHost(void* address) { return freed(address); }
int cuMemHostAlloc(void** address, size_t bytes, unsigned flags) {
    (void)flags;
    return made(address, bytes);
}

// Streams and events. All work is done at once; flags and users are remembered.

struct Stream {
    unsigned flags;
    int used;
};

static int last_stream_flags = -1, last_event_flags = -1, waits;

int cuStreamCreate(struct Stream** stream, unsigned flags) {
    const int refused = number("STUB_STREAM", 0);
    const int code = refused ? refused : made((void**)stream, sizeof(struct Stream));
    if (code) return code;
    **stream = (struct Stream){flags, 0};
    last_stream_flags = (int)flags;
    return 0;
}

int cuStreamDestroy_v2(struct Stream* stream) { return freed(stream); }
int cuEventDestroy_v2(void* event) { return freed(event); }
int cuEventCreate(void** event, unsigned flags) {
    last_event_flags = (int)flags;
    return made(event, 1);
}

int cuEventRecord(void* event, struct Stream* stream) { return event && stream ? 0 : kInvalidValue; }
int cuEventQuery(void* event) { return event ? 0 : kInvalidValue; }
int cuEventSynchronize(void* event) { return event ? 0 : kInvalidValue; }
int cuStreamWaitEvent(struct Stream* stream, void* event, unsigned flags) {
    ++waits;
    return stream && event && !flags ? 0 : kInvalidValue;
}

int cuEventElapsedTime_v2(float* ms, void* start, void* end) {
    *ms = 1.5f;
    return start && end ? 0 : kInvalidValue;
}

int stub_last_stream_flags(void) { return last_stream_flags; }
int stub_last_event_flags(void) { return last_event_flags; }
int stub_waits(void) { return waits; }

int cuMemcpyHtoDAsync_v2(void* to, const void* from, size_t bytes, struct Stream* stream) {
    if (depth == 0 || !stream) return kInvalidContext;
    memcpy(to, from, bytes);
    return 0;
}

int cuMemcpyDtoHAsync_v2(void* to, const void* from, size_t bytes, struct Stream* stream) {
    return cuMemcpyHtoDAsync_v2(to, from, bytes, stream);
}

int cuMemcpyDtoDAsync_v2(void* to, const void* from, size_t bytes, struct Stream* stream) {
    return cuMemcpyHtoDAsync_v2(to, from, bytes, stream);
}

// Modules and launches: the last launch as text.

static int modules;
static char last_launch[512];

int cuModuleLoad(void** module, const char* path) {
    FILE* file = fopen(path, "rb");
    if (depth == 0 || !file) return depth ? 301 : kInvalidContext;
    fclose(file);
    ++modules;
    *module = &modules;
    return number("STUB_MODULE", 0);
}

int stub_modules(void) { return modules; }

int cuModuleUnload(void* module) {
    (void)module;
    --modules;
    return 0;
}

int cuModuleGetFunction(char** function, void* module, const char* name) {
    (void)module;
    *function = strdup(name);
    return depth ? 0 : kInvalidContext;
}

int cuFuncSetBlockShape(char* function, int x, int y, int z) { return function && x && y && z ? 0 : 1; }

int cuLaunchKernel(const char* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                   unsigned bz, unsigned shared_bytes, struct Stream* stream, void** parameters,
                   void** extra) {
    if (depth == 0 || !stream || parameters || shared_bytes) return kInvalidValue;
    const unsigned char* bytes = extra[1];
    const size_t size = *(const size_t*)extra[3];
    int at =
        snprintf(last_launch, sizeof last_launch, "%s %u,%u,%u %u,%u,%u ", function, gx, gy, gz, bx, by, bz);
    for (size_t i = 0; i < size; ++i)
        at += snprintf(last_launch + at, sizeof last_launch - (size_t)at, "%02x", bytes[i]);
    return 0;
}

const char* stub_last_launch(void) { return last_launch; }
