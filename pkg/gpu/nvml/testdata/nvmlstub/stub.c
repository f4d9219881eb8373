/*
 * A stand-in for NVIDIA's libnvidia-ml.so.1, for tests on machines without a GPU.
 *
 * It reads a text file, named by the environment variable NVML_STUB_FILE, anew at
 * every call, so that a test can change the host while it is watched. A line is a
 * kind and fields "key=value"; in values an underscore stands for a space. GPUs and
 * MIG instances are numbered in the order of their lines, from 0.
 *
 *   driver version=550.54.14 cuda=12040
 *   gpu uuid=GPU-... minor=0 name=NVIDIA_A100 memory=42949672960 bus=00000000:07:00.0 mig=0 lost=0 rows=0 busy=40 used=1048576
 *   mig gpu=0 slot=0 uuid=MIG-... gi=1 ci=0 slices=1 memory=9984 used=1048576
 *   topology a=0 b=1 level=10
 *   nvlink a=0 b=1 links=4          (b=switch: links of a to NVSwitches)
 *   process gpu=0 pid=4711 gi=1 ci=0
 *   xid gpu=0 code=79 gi=1 ci=0
 *   event gpu=0 type=2
 *
 * An event set delivers each xid and event line once, old ones too. A GPU with
 * lost=1 has no handle; with rows=1 its memory cannot be remapped. A missing file
 * is a missing driver. busy is the utilization in percent, which a GPU without it does not
 * tell; used is the memory in use in bytes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	OK = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7,
	DRIVER_NOT_LOADED = 9, TIMEOUT = 10, GPU_IS_LOST = 15
};

enum { GPUS = 64, INSTANCES = 256, NONE = -1 };

struct nvmlDevice_st { int gpu, mig; };
typedef struct nvmlDevice_st *device;
typedef struct { int delivered; } *event_set;
typedef struct {
	char legacy[16];
	unsigned domain, bus, device, id, subsystem;
	char bus_id[32];
} pci_info;
typedef struct { unsigned long long total, free, used; } memory_info;
typedef struct { unsigned gpu, memory; } utilization;
typedef struct { unsigned pid; unsigned long long used; unsigned gi, ci; } process_info;
typedef struct { device device; unsigned long long type, data; unsigned gi, ci; } event_data;
typedef struct {
	unsigned multiprocessors, copy, decoders, encoders, jpeg, ofa, slices, compute_slices;
	unsigned long long memory_mib;
} attributes;

static struct nvmlDevice_st gpus[GPUS];
static struct nvmlDevice_st migs[INSTANCES];

/* get copies the value of a key, or returns 0 if the line does not have it. */
static int get(const char *line, const char *key, char *value, size_t size)
{
	char want[64];
	snprintf(want, sizeof want, " %s=", key);
	const char *at = strstr(line, want);
	if (!at)
		return 0;
	at += strlen(want);
	size_t n = strcspn(at, " \n");
	if (n >= size)
		n = size - 1;
	memcpy(value, at, n);
	value[n] = 0;
	for (char *c = value; *c; c++)
		if (*c == '_')
			*c = ' ';
	return 1;
}

static long long number(const char *line, const char *key, long long otherwise)
{
	char value[64];
	return get(line, key, value, sizeof value) ? strtoll(value, NULL, 0) : otherwise;
}

static FILE *host(void)
{
	const char *path = getenv("NVML_STUB_FILE");
	return path ? fopen(path, "re") : NULL;
}

static int next(FILE *f, const char *kind, char *line, size_t size)
{
	size_t n = strlen(kind);
	while (fgets(line, size, f))
		if (!strncmp(line, kind, n) && line[n] == ' ')
			return 1;
	return 0;
}

/* find reads the line with a number of a kind. */
static int find(const char *kind, int which, char *line, size_t size)
{
	FILE *f = host();
	int found = 0, at = 0;
	if (!f)
		return 0;
	while (!found && next(f, kind, line, size))
		found = at++ == which;
	fclose(f);
	return found;
}

static int own(device d, char *line, size_t size)
{
	if (!d)
		return INVALID_ARGUMENT;
	if (!find("gpu", d->gpu, line, size) || number(line, "lost", 0))
		return GPU_IS_LOST;
	if (d->mig != NONE && !find("mig", d->mig, line, size))
		return NOT_FOUND;
	return OK;
}

static int text(device d, const char *key, char *value, unsigned size)
{
	char line[1024];
	int ret = own(d, line, sizeof line);
	if (ret == OK && !get(line, key, value, size))
		return NOT_SUPPORTED;
	return ret;
}

int nvmlInit_v2(void)
{
	FILE *f = host();
	if (!f)
		return DRIVER_NOT_LOADED;
	fclose(f);
	for (int i = 0; i < GPUS; i++)
		gpus[i] = (struct nvmlDevice_st){ i, NONE };
	return OK;
}

int nvmlShutdown(void) { return OK; }

const char *nvmlErrorString(int ret)
{
	switch (ret) {
	case OK: return "Success";
	case DRIVER_NOT_LOADED: return "Driver Not Loaded";
	case NOT_SUPPORTED: return "Not Supported";
	case NOT_FOUND: return "Not Found";
	case GPU_IS_LOST: return "GPU is lost";
	case TIMEOUT: return "Timeout";
	}
	return "Stub Error";
}

int nvmlSystemGetDriverVersion(char *version, unsigned size)
{
	char line[1024];
	return find("driver", 0, line, sizeof line) && get(line, "version", version, size) ? OK : NOT_SUPPORTED;
}

int nvmlSystemGetCudaDriverVersion(int *version)
{
	char line[1024];
	if (!find("driver", 0, line, sizeof line))
		return NOT_SUPPORTED;
	*version = number(line, "cuda", 0);
	return OK;
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
	char line[1024];
	for (*count = 0; *count < GPUS && find("gpu", *count, line, sizeof line); )
		(*count)++;
	return OK;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, device *d)
{
	char line[1024];
	if (index >= GPUS)
		return INVALID_ARGUMENT;
	*d = &gpus[index];
	return own(*d, line, sizeof line);
}

int nvmlDeviceGetMigDeviceHandleByIndex(device gpu, unsigned slot, device *d)
{
	char line[1024];
	for (int i = 0; i < INSTANCES && find("mig", i, line, sizeof line); i++)
		if (number(line, "gpu", NONE) == gpu->gpu && number(line, "slot", NONE) == slot) {
			migs[i] = (struct nvmlDevice_st){ gpu->gpu, i };
			*d = &migs[i];
			return OK;
		}
	return NOT_FOUND;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, device *d)
{
	char line[1024], value[96];
	for (int i = 0; i < GPUS && find("gpu", i, line, sizeof line); i++)
		if (get(line, "uuid", value, sizeof value) && !strcmp(value, uuid)) {
			*d = &gpus[i];
			return own(*d, line, sizeof line);
		}
	for (int i = 0; i < INSTANCES && find("mig", i, line, sizeof line); i++)
		if (get(line, "uuid", value, sizeof value) && !strcmp(value, uuid)) {
			migs[i] = (struct nvmlDevice_st){ number(line, "gpu", 0), i };
			*d = &migs[i];
			return own(*d, line, sizeof line);
		}
	return NOT_FOUND;
}

int nvmlDeviceGetUUID(device d, char *uuid, unsigned size) { return text(d, "uuid", uuid, size); }
int nvmlDeviceGetName(device d, char *name, unsigned size) { return text(d, "name", name, size); }

static int value(device d, const char *key, long long otherwise, long long *v)
{
	char line[1024];
	int ret = own(d, line, sizeof line);
	*v = ret == OK ? number(line, key, otherwise) : 0;
	return ret;
}

int nvmlDeviceGetIndex(device d, unsigned *index)
{
	*index = d->gpu;
	return OK;
}

int nvmlDeviceGetMinorNumber(device d, unsigned *minor)
{
	long long v;
	int ret = value(d, "minor", d->gpu, &v);
	*minor = v;
	return ret;
}

int nvmlDeviceGetMemoryInfo(device d, memory_info *m)
{
	long long v, used;
	int ret = value(d, "memory", 0, &v);
	if (d && d->mig != NONE)
		v <<= 20; /* an instance has it in MiB */
	value(d, "used", 0, &used);
	*m = (memory_info){ .total = v, .free = v - used, .used = used };
	return ret;
}

int nvmlDeviceGetUtilizationRates(device d, utilization *u)
{
	long long v;
	int ret = value(d, "busy", NONE, &v);
	*u = (utilization){ .gpu = v };
	return ret == OK && (v == NONE || d->mig != NONE) ? NOT_SUPPORTED : ret;
}

int nvmlDeviceGetPciInfo_v3(device d, pci_info *p)
{
	memset(p, 0, sizeof *p);
	return text(d, "bus", p->bus_id, sizeof p->bus_id);
}

int nvmlDeviceGetMigMode(device d, unsigned *current, unsigned *pending)
{
	long long v;
	int ret = value(d, "mig", 0, &v);
	*current = *pending = v;
	return ret;
}

int nvmlDeviceGetMaxMigDeviceCount(device d, unsigned *count)
{
	(void)d;
	*count = 7;
	return OK;
}

int nvmlDeviceGetGpuInstanceId(device d, unsigned *id)
{
	long long v;
	int ret = value(d, "gi", 0, &v);
	*id = v;
	return ret;
}

int nvmlDeviceGetComputeInstanceId(device d, unsigned *id)
{
	long long v;
	int ret = value(d, "ci", 0, &v);
	*id = v;
	return ret;
}

int nvmlDeviceGetAttributes_v2(device d, attributes *a)
{
	char line[1024];
	int ret = own(d, line, sizeof line);
	memset(a, 0, sizeof *a);
	if (ret == OK) {
		a->slices = a->compute_slices = number(line, "slices", 1);
		a->memory_mib = number(line, "memory", 0);
	}
	return ret;
}

int nvmlDeviceGetTopologyCommonAncestor(device a, device b, int *level)
{
	char line[1024];
	for (int i = 0; find("topology", i, line, sizeof line); i++) {
		int x = number(line, "a", NONE), y = number(line, "b", NONE);
		if ((x == a->gpu && y == b->gpu) || (x == b->gpu && y == a->gpu)) {
			*level = number(line, "level", 50);
			return OK;
		}
	}
	*level = 50;
	return OK;
}

/* link finds what is at the other end of a link: a GPU, or -2 for a switch. */
static int link_end(device d, unsigned link)
{
	char line[1024], end[16];
	unsigned at = 0;
	for (int i = 0; find("nvlink", i, line, sizeof line); i++) {
		int x = number(line, "a", NONE), y = number(line, "b", NONE);
		if (!get(line, "b", end, sizeof end) || (x != d->gpu && y != d->gpu))
			continue;
		if (!strcmp(end, "switch") && x != d->gpu)
			continue;
		at += number(line, "links", 1);
		if (link < at)
			return !strcmp(end, "switch") ? -2 : x == d->gpu ? y : x;
	}
	return NONE;
}

int nvmlDeviceGetNvLinkState(device d, unsigned link, unsigned *active)
{
	if (link >= 18)
		return INVALID_ARGUMENT;
	*active = link_end(d, link) != NONE;
	return OK;
}

int nvmlDeviceGetNvLinkRemoteDeviceType(device d, unsigned link, unsigned *type)
{
	*type = link_end(d, link) == -2 ? 2 : 0;
	return OK;
}

int nvmlDeviceGetNvLinkRemotePciInfo_v2(device d, unsigned link, pci_info *p)
{
	int end = link_end(d, link);
	if (end < 0)
		return NOT_SUPPORTED;
	return nvmlDeviceGetPciInfo_v3(&gpus[end], p);
}

int nvmlDeviceGetComputeRunningProcesses_v3(device d, unsigned *count, process_info *list)
{
	char line[1024];
	unsigned room = *count, n = 0;
	int ret = own(d, line, sizeof line);
	for (int i = 0; ret == OK && find("process", i, line, sizeof line); i++) {
		if (number(line, "gpu", NONE) != d->gpu)
			continue;
		if (n < room)
			list[n] = (process_info){ number(line, "pid", 0), 0, number(line, "gi", NONE), number(line, "ci", NONE) };
		n++;
	}
	*count = n;
	return ret == OK && n > room ? INSUFFICIENT_SIZE : ret;
}

int nvmlDeviceGetMPSComputeRunningProcesses_v3(device d, unsigned *count, process_info *list)
{
	(void)d;
	(void)list;
	*count = 0;
	return OK;
}

int nvmlDeviceGetRemappedRows(device d, unsigned *correctable, unsigned *uncorrectable, unsigned *pending, unsigned *failed)
{
	long long v;
	int ret = value(d, "rows", 0, &v);
	*correctable = *uncorrectable = *pending = 0;
	*failed = v;
	return ret;
}

int nvmlEventSetCreate(event_set *set)
{
	*set = calloc(1, sizeof **set);
	return *set ? OK : INVALID_ARGUMENT;
}

int nvmlEventSetFree(event_set set)
{
	free(set);
	return OK;
}

int nvmlDeviceGetSupportedEventTypes(device d, unsigned long long *types)
{
	char line[1024];
	*types = 0x601b;
	return own(d, line, sizeof line);
}

int nvmlDeviceRegisterEvents(device d, unsigned long long types, event_set set)
{
	char line[1024];
	return set && types ? own(d, line, sizeof line) : INVALID_ARGUMENT;
}

/* pending reads the event line that the set has not delivered yet. */
static int pending(event_set set, event_data *e)
{
	FILE *f = host();
	char line[1024];
	int at = 0, found = 0;
	if (!f)
		return 0;
	while (!found && fgets(line, sizeof line, f)) {
		int xid = !strncmp(line, "xid ", 4);
		if ((!xid && strncmp(line, "event ", 6)) || at++ < set->delivered)
			continue;
		found = 1;
		set->delivered++;
		*e = (event_data){ &gpus[number(line, "gpu", 0) % GPUS], xid ? 8 : number(line, "type", 0),
			number(line, "code", 0), number(line, "gi", NONE), number(line, "ci", NONE) };
	}
	fclose(f);
	return found;
}

int nvmlEventSetWait_v2(event_set set, event_data *e, unsigned timeout_ms)
{
	for (unsigned waited = 0; ; waited += 20) {
		if (pending(set, e))
			return OK;
		if (waited >= timeout_ms)
			return TIMEOUT;
		usleep(20 * 1000);
	}
}
