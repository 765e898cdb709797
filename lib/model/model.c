/* model.c - a model from a file: loads it, prepares parts when they are needed, reports on it. */
#include "model/model.h"
#include "base/bytes.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "model/tensors.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <xxhash.h>

/* of the cumulative tables, if every bound were the largest */
#define MAX_ENTRIES  (VAE_SCALES * (2 * VAE_BOUND_LIMIT + 2))
#define MAX_DEPTH    8         /* of nesting in the header; a model's own is 3 deep */
#define HASHED_BYTES (1 << 16) /* bytes read at a time for hashing */

/* ---- loading --------------------------------------------------------------------------------- */

/* Returns whether arrays and objects of a JSON text are nested deeper than any model's. jansson
 * takes some 50 bytes of stack a level, up to 2048 levels, which a thread with a small stack does
 * not have. */
static bool is_deep(const char *text, size_t length)
{
	int depth = 0;
	bool quoted = false;
	for (const char *c = text; c < text + length; c++) {
		if (quoted && *c == '\\')
			c++;
		else if (*c == '"')
			quoted = !quoted;
		else if (!quoted && (*c == '[' || *c == '{') && ++depth > MAX_DEPTH)
			return true;
		else if (!quoted && (*c == ']' || *c == '}'))
			depth--;
	}
	return false;
}

static int parse_header(json_t **root, const char *text, size_t length, struct vae_error *error)
{
	json_error_t fault;
	if (is_deep(text, length))
		return vae_fail(error, VAE_EMODEL, "not a model: its header is nested deeper than %d",
		                MAX_DEPTH);
	errno = 0; /* jansson reports no lack of memory */
	if (!(*root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &fault)))
		return errno == ENOMEM ? vae_fail(error, VAE_EMEM, "out of memory")
		                       : vae_fail(error, VAE_EMODEL, "not a model: header byte %d: %.100s",
		                                  fault.position, fault.text);
	if (!json_is_object(*root)) {
		json_decref(*root);
		*root = NULL;
		return vae_fail(error, VAE_EMODEL, "not a model: its header is not an object");
	}
	return 0;
}

/* Returns whether a string of a JSON text can be `string`, as it is or by escapes. */
static bool may_hold(const char *text, size_t length, const char *string)
{
	return memmem(text, length, string, strlen(string)) || memmem(text, length, "\\u", 2);
}

/* Reads and parses the JSON header; *data is the tensors' offset in the file. The caller releases
 * *root, which is NULL after a failure, or if the header cannot hold the id (NULL: any). */
static int read_header(json_t **root, uint64_t *data, const struct vae_file *file, const char *id,
                       struct vae_error *error)
{
	uint8_t head[8];
	char *text;
	if (file->size < sizeof head)
		return vae_fail(error, VAE_EMODEL, "not a model: shorter than 8 bytes");
	int rc = vae_file_read(file, head, sizeof head, 0, error);
	if (rc)
		return rc;
	uint64_t length = vae_get64(head);
	if (length > VAE_MODEL_HEADER_BYTES)
		return vae_fail(error, VAE_EMODEL, "not a model: a header of %llu bytes, %d at most",
		                (unsigned long long)length, VAE_MODEL_HEADER_BYTES);
	if (length > file->size - sizeof head)
		return vae_fail(error, VAE_EMODEL, "truncated: a header of %llu bytes in a file of %llu",
		                (unsigned long long)length, (unsigned long long)file->size);
	if ((rc = vae_alloc_raw(&text, length, 1, error)))
		return rc;
	rc = vae_file_read(file, text, length, sizeof head, error);
	if (!rc && (!id || may_hold(text, length, id)))
		rc = parse_header(root, text, length, error);
	free(text);
	*data = sizeof head + length;
	return rc;
}

static int parse_id(uint64_t *id, const char *hex, struct vae_error *error)
{
	if (strlen(hex) != 16 || strspn(hex, "0123456789abcdef") != 16)
		return vae_fail(error, VAE_EMODEL, "its id is not 16 hexadecimal digits");
	*id = strtoull(hex, NULL, 16);
	return 0;
}

static const char *metadata_get(const struct vae_metadata *m, const char *key)
{
	for (int i = 0; i < m->count; i++)
		if (!strcmp(m->key[i], key))
			return m->value[i];
	return NULL;
}

static int metadata_take(struct vae_metadata *m, json_t *object, struct vae_error *error)
{
	const char *key;
	json_t *value;
	if (!json_is_object(object))
		return vae_fail(error, VAE_EMODEL, "not a model of vae-tools: no __metadata__");
	json_object_foreach(object, key, value)
	{
		if (!json_is_string(value))
			return vae_fail(error, VAE_EMODEL, "__metadata__ %.60s is not a string", key);
		if (m->count == VAE_METADATA_ENTRIES)
			return vae_fail(error, VAE_EMODEL, "more than %d entries in __metadata__", m->count);
		m->key[m->count] = strdup(key);
		m->value[m->count++] = strdup(json_string_value(value));
		if (!m->key[m->count - 1] || !m->value[m->count - 1])
			return vae_fail(error, VAE_EMEM, "out of memory");
	}
	return 0;
}

/* Reads version, id and architecture: everything that needs no tensor. */
static int take_description(struct vae_model *m, json_t *root, struct vae_error *error)
{
	int rc = metadata_take(&m->metadata, json_object_get(root, "__metadata__"), error);
	if (rc)
		return rc;
	const char *version = metadata_get(&m->metadata, "format_version"),
			   *line = metadata_get(&m->metadata, "architecture");
	const char *id = metadata_get(&m->metadata, "id");
	if (!version || !line || !id)
		return vae_fail(
			error, VAE_EMODEL,
			"not a model of vae-tools: __metadata__ lacks format_version, architecture or id");
	if (strcmp(version, VAE_MODEL_VERSION))
		return vae_fail(error, VAE_EMODEL,
		                "format version %.20s; this program reads version " VAE_MODEL_VERSION,
		                version);
	struct vae_arch arch;
	if ((rc = parse_id(&m->id, id, error)) || (rc = vae_arch_parse(&arch, line, error)))
		return rc;
	vae_arch_format(&arch, m->arch);
	if (strcmp(line, m->arch))
		return vae_fail(error, VAE_EMODEL, "architecture line is not in its canonical form");
	return vae_nets_new(&m->nets, &arch, error);
}

/* Checks that the header's entry of a tensor is exactly what the architecture says. */
static int check_tensor(const struct vae_tensor *t, json_t *root, struct vae_error *error)
{
	json_t *entry = json_object_get(root, t->name), *shape;
	const char *dtype;
	json_int_t begin, end;
	if (!entry)
		return vae_fail(error, VAE_EMODEL, "no tensor %s", t->name);
	if (json_unpack(entry, "{s:s, s:o, s:[I,I!]!}", "dtype", &dtype, "shape", &shape,
	                "data_offsets", &begin, &end))
		return vae_fail(error, VAE_EMODEL, "tensor %s: malformed entry", t->name);
	bool same = json_is_array(shape) && json_array_size(shape) == (size_t)t->rank;
	for (int i = 0; same && i < t->rank; i++) {
		json_t *number = json_array_get(shape, (size_t)i);
		same = json_is_integer(number) && json_integer_value(number) == (json_int_t)t->shape[i];
	}
	if (!same || strcmp(dtype, vae_dtypes[t->dtype].name))
		return vae_fail(error, VAE_EMODEL, "tensor %s: not %s of the architecture's shape", t->name,
		                vae_dtypes[t->dtype].name);
	if (begin != (json_int_t)t->begin || end != (json_int_t)t->end)
		return vae_fail(error, VAE_EMODEL,
		                "tensor %s: at bytes %lld to %lld, not %llu to %llu: the tensors must lie "
		                "in the order of vae-model(5), without gaps",
		                t->name, (long long)begin, (long long)end, (unsigned long long)t->begin,
		                (unsigned long long)t->end);
	return 0;
}

static int check_tensors(const struct vae_tensors *l, json_t *root, uint64_t data, uint64_t size,
                         struct vae_error *error)
{
	for (const struct vae_tensor *t = l->tensor; t < l->tensor + l->count; t++)
		if (check_tensor(t, root, error))
			return VAE_EMODEL;
	if (json_object_size(root) != (size_t)l->count + 1)
		return vae_fail(error, VAE_EMODEL, "%zu tensors, where its architecture has %d",
		                json_object_size(root) - 1, l->count);
	if (size - data != l->bytes)
		return vae_fail(error, VAE_EMODEL, "%s: %llu bytes, where its header describes %llu",
		                size - data < l->bytes ? "truncated" : "too long", (unsigned long long)size,
		                (unsigned long long)(data + l->bytes));
	return 0;
}

/* The file of a model, and the parts that have been prepared from it. */
struct vae_model_file {
	struct vae_file file;
	uint64_t data;              /* offset of the tensors */
	struct vae_tensors tensors; /* checked against the header */
	pthread_mutex_t lock;       /* held while parts are prepared */
	atomic_uint ready;          /* 1 << part for each prepared part */
};

static void file_free(struct vae_model_file *file)
{
	if (!file)
		return;
	vae_file_close(&file->file);
	pthread_mutex_destroy(&file->lock);
	free(file);
}

/* Checks that the file holds what its architecture asks for. Memory is allocated only afterwards,
 * and not touched. */
static int check_file(struct vae_model *m, json_t *root, struct vae_error *error)
{
	struct vae_model_file *f = m->file;
	json_int_t entries = 0;
	json_unpack(root, "{s:{s:[I]}}", "prior.scales.cumulative", "shape", &entries);
	if (entries < 1 || entries > MAX_ENTRIES)
		return vae_fail(error, VAE_EMODEL,
		                "tensor prior.scales.cumulative is missing, or of no possible size");
	bool photo = m->nets->arch.kind == VAE_ARCH_PHOTO,
		 means = photo && json_object_get(root, VAE_TENSOR_MEANS);
	vae_tensors_init(&f->tensors, m->nets, (size_t)entries,
	                 photo && json_object_get(root, VAE_TENSOR_SENSITIVITY), means);
	int rc = check_tensors(&f->tensors, root, f->data, f->file.size, error);
	if (!rc)
		rc = vae_weights_reserve(&m->weights, &m->nets->params, error);
	if (!rc && means)
		rc = vae_nets_means_new(&m->means, &m->nets->arch, error);
	if (!rc && means)
		rc = vae_weights_reserve(&m->means_weights, &m->means->params, error);
	return rc;
}

/* Prefixes a message with the file's name (its end, if it is long; NULL: memory). Faults in the
 * file's contents become faults of the model, whoever found them. */
static int blame(const char *path, struct vae_error *error, int rc)
{
	if (rc != VAE_EMEM)
		rc = VAE_EMODEL;
	if (error) {
		struct vae_error inner = *error;
		path = path ? path : "in memory";
		size_t length = strlen(path);
		vae_fail(error, (enum vae_err)rc, "model %s%s: %.200s", length > 150 ? "..." : "",
		         length > 150 ? path + length - 150 : path, inner.text);
	}
	return rc;
}

static int file_new(struct vae_model_file **file, const char *path, const struct vae_file *memory,
                    struct vae_error *error)
{
	struct vae_model_file *f;
	int rc = vae_alloc(&f, 1, sizeof *f, error);
	if (rc)
		return rc;
	if (memory) {
		f->file = *memory;
	} else if ((rc = vae_file_open(&f->file, path, error))) {
		free(f);
		return rc;
	}
	pthread_mutex_init(&f->lock, NULL);
	*file = f;
	return 0;
}

/* Opens a model's file, or memory if that is not NULL, and parses its header, as read_header does.
 * The caller owns *root after a success. */
static int begin(struct vae_model **model, json_t **root, const char *path,
                 const struct vae_file *memory, const char *id, struct vae_error *error)
{
	struct vae_model *m;
	int rc = vae_alloc(&m, 1, sizeof *m, error);
	if (rc)
		return rc;
	if ((rc = file_new(&m->file, path, memory, error)) ||
	    (rc = read_header(root, &m->file->data, &m->file->file, id, error)))
		vae_model_free(m);
	else
		*model = m;
	return rc;
}

/* Completes loading. path is NULL for memory. */
static int complete(struct vae_model *m, json_t *root, const char *path, struct vae_error *error)
{
	int rc;
	if ((rc = take_description(m, root, error)) || (rc = check_file(m, root, error)))
		return rc;
	if (!path)
		return 0;
	/* A file without a name of its own, such as /proc/self/fd/4 of a pipe's copy, keeps the name by
	 * which it was opened. */
	if (!(m->path = realpath(path, NULL)) && !(*path == '/' && (m->path = strdup(path))))
		return vae_fail(error, VAE_EMODEL, "%s", strerror(errno));
	m->by_path = true;
	return 0;
}

static int load(struct vae_model **model, const char *path, const struct vae_file *memory,
                struct vae_error *error)
{
	json_t *root = NULL;
	struct vae_model *m = NULL;
	int rc = vae_isa_check(error);
	if (rc)
		return rc;
	rc = begin(&m, &root, path, memory, NULL, error);
	if (!rc)
		rc = complete(m, root, path, error);
	json_decref(root);
	if (rc) {
		vae_model_free(m);
		return blame(path, error, rc);
	}
	*model = m;
	return 0;
}

int vae_model_load(struct vae_model **model, const char *path, struct vae_error *error)
{
	return load(model, path, NULL, error);
}

int vae_model_load_memory(struct vae_model **model, const void *bytes, size_t count,
                          struct vae_error *error)
{
	struct vae_file memory = vae_file_memory(bytes, count);
	return load(model, NULL, &memory, error);
}

int vae_model_load_id(struct vae_model **model, const char *path, uint64_t id,
                      struct vae_error *error)
{
	json_t *root = NULL;
	struct vae_model *m = NULL;
	uint64_t claimed;
	struct vae_error why;
	char wanted[17];
	snprintf(wanted, sizeof wanted, "%016llx", (unsigned long long)id);
	int rc = begin(&m, &root, path, NULL, wanted, &why);
	if (rc == VAE_EMEM) /* the file's id is unknown; "no such model" would be misleading */
		return blame(path, error, vae_fail(error, VAE_EMEM, "%s", why.text));
	if (rc)
		return 0;
	const char *hex =
		json_string_value(json_object_get(json_object_get(root, "__metadata__"), "id"));
	if (hex && !parse_id(&claimed, hex, NULL) && claimed == id) {
		rc = complete(m, root, path, error);
		if (rc) {
			rc = blame(path, error, rc);
		} else {
			*model = m;
			m = NULL;
			rc = 1;
		}
	}
	json_decref(root);
	vae_model_free(m);
	return rc;
}

/* ---- preparing parts ------------------------------------------------------------------------- */

static int not_finite(const struct vae_tensor *t, size_t number, struct vae_error *error)
{
	return vae_fail(error, VAE_EMODEL, "tensor %s: number %zu is not finite", t->name, number);
}

/* Memory into which tensors are read, one after another. */
struct reader {
	const struct vae_model_file *file;
	uint8_t *bytes; /* of a tensor; owned, as is the next */
	float *matrix;  /* of one that is rounded, packed */
	size_t bytes_room, matrix_room;
};

static void reader_clear(struct reader *r)
{
	free(r->bytes);
	free(r->matrix);
}

/* Makes a reader for each thread. */
static int readers_new(struct reader **readers, size_t count, const struct vae_model_file *file,
                       struct vae_error *error)
{
	int rc = vae_alloc(readers, count, sizeof **readers, error);
	for (size_t i = 0; !rc && i < count; i++)
		(*readers)[i].file = file;
	return rc;
}

static void readers_free(struct reader *readers, size_t count)
{
	for (size_t i = 0; readers && i < count; i++)
		reader_clear(&readers[i]);
	free(readers);
}

/* Reads a tensor into r->bytes. */
static int fetch(struct reader *r, const struct vae_tensor *t, struct vae_error *error)
{
	size_t size = (size_t)(t->end - t->begin);
	int rc = vae_reserve(&r->bytes, &r->bytes_room, size, 0, sizeof *r->bytes, error);
	return rc ? rc : vae_file_read(&r->file->file, r->bytes, size, r->file->data + t->begin, error);
}

/* Reads a matrix directly into its packed form. */
static int take_matrix(float *packed, const struct vae_tensor *t, struct reader *r,
                       struct vae_error *error)
{
	size_t n = 0;
	int rc = fetch(r, t, error);
	if (!rc && t->dtype == VAE_I16)
		return vae_int16()->pack(packed, r->bytes, t->shape[0], t->shape[1])
		           ? 0
		           : vae_fail(error, VAE_EMODEL,
		                      "tensor %s: the magnitudes of a column sum up to more than %d",
		                      t->name, VAE_INT16_SUM);
	if (rc || vae_kernels()->pack_half(packed, r->bytes, t->shape[0], t->shape[1]))
		return rc;
	while (n < t->count && isfinite(vae_float_from_half(vae_get16(r->bytes + 2 * n))))
		n++;
	return not_finite(t, n, error);
}

static int take_floats(float *values, const struct vae_tensor *t, struct reader *r,
                       struct vae_error *error)
{
	int rc = fetch(r, t, error);
	size_t good = rc ? 0 : vae_tensor_get(values, t, r->bytes);
	return rc || good == t->count ? rc : not_finite(t, good, error);
}

/* Reads the integer tables, which follow the parameters. */
static int take_scales(struct vae_model *m, struct reader *r, struct vae_error *error)
{
	const struct vae_tensor *t = &m->file->tensors.tensor[m->nets->params.count];
	int32_t bound[VAE_SCALES];
	uint16_t *cumulative;
	int rc = vae_alloc_raw(&cumulative, t[1].count, sizeof *cumulative, error);
	if (rc)
		return rc;
	if (!(rc = fetch(r, &t[0], error))) {
		vae_tensor_get(bound, &t[0], r->bytes);
		rc = fetch(r, &t[1], error);
	}
	if (!rc) {
		vae_tensor_get(cumulative, &t[1], r->bytes);
		rc = vae_cdfs_load(&m->cdfs, bound, cumulative, t[1].count, error);
	}
	free(cumulative);
	return rc;
}

static int check_sigmoid(const float *knots, struct vae_error *error)
{
	for (int i = 0; i < VAE_SIGMOID_KNOTS; i++)
		if (!(knots[i] >= (i ? knots[i - 1] : 0) && knots[i] <= 1))
			return vae_fail(error, VAE_EMODEL,
			                "tensor dec.sigmoid: number %d falls, or leaves 0 to 1", i);
	return 0;
}

/* Reads mlp's logistic function, the last tensor. */
static int take_sigmoid(struct vae_model *m, struct reader *r, struct vae_error *error)
{
	const struct vae_tensor *t = &m->file->tensors.tensor[m->nets->params.count + 2];
	float *knots;
	int rc = vae_alloc_raw(&knots, VAE_SIGMOID_KNOTS, sizeof *knots, error);
	if (rc)
		return rc;
	if ((rc = take_floats(knots, t, r, error)) || (rc = check_sigmoid(knots, error)))
		free(knots);
	else
		m->sigmoid = knots;
	return rc;
}

static int take_sensitivity(struct vae_model *m, struct reader *r, struct vae_error *error)
{
	const struct vae_tensor *t = &m->file->tensors.tensor[m->file->tensors.sensitivity];
	float *table;
	int rc = vae_alloc_raw(&table, t->count, sizeof *table, error);
	if (rc)
		return rc;
	rc = take_floats(table, t, r, error);
	for (size_t i = 0; !rc && i < t->count; i++)
		if (!(table[i] >= 0))
			rc = vae_fail(error, VAE_EMODEL, "tensor %s: number %zu is negative", t->name, i);
	if (rc)
		free(table);
	else
		m->sensitivity = table;
	return rc;
}

/* Reads a matrix and rounds it. */
static int take_rounded(float *packed, const struct vae_tensor *t, struct reader *r,
                        struct vae_error *error)
{
	size_t k = t->shape[0], n = t->shape[1];
	int rc = vae_reserve(&r->matrix, &r->matrix_room, vae_packed_size(k, n), 0, sizeof *r->matrix,
	                     error);
	if (!rc)
		rc = take_matrix(r->matrix, t, r, error);
	if (!rc)
		vae_round_param(packed, &(struct vae_matrix){r->matrix, k, n, k * VAE_PANEL, VAE_PANEL});
	return rc;
}

/* Takes a parameter over to where weights have it. */
static int take_param(struct vae_weights *w, const struct vae_param *p, const struct vae_tensor *t,
                      struct reader *r, struct vae_error *error)
{
	if (p->rounded)
		return take_rounded(w->packed + p->packed, t, r, error);
	if (p->matrix)
		return take_matrix(w->packed + p->packed, t, r, error);
	return take_floats(w->value + p->offset, t, r, error);
}

/* Reads the map to means, with its own copy of the synthesis's gains, which come first. */
static int take_means(struct vae_model *m, struct reader *r, struct vae_error *error)
{
	const struct vae_tensors *l = &m->file->tensors;
	const struct vae_tensor *t[] = {
		&l->tensor[vae_param_find(&m->nets->params, m->means->params.list[0].name)],
		&l->tensor[l->means], &l->tensor[l->means + 1]};
	int rc = 0;
	for (int i = 0; !rc && i < m->means->params.count; i++)
		rc = take_param(&m->means_weights, &m->means->params.list[i], t[i], r, error);
	return rc;
}

/* Returns the part of a parameter: the network that reads it, or h_s for those that the coder
 * reads. */
static int part_of(const char *name)
{
	static const struct {
		const char *prefix;
		int part;
	} rules[] = {{"enc.", VAE_ANALYSIS},        {"dec.", VAE_SYNTHESIS},
	             {"prior.ha.", VAE_H_A},        {"prior.ctx.", VAE_CONTEXT},
	             {"prior.ctx2.", VAE_CONTEXT2}, {"prior.ctx3.", VAE_CONTEXT3}};
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
		if (!strncmp(name, rules[i].prefix, strlen(rules[i].prefix)))
			return rules[i].part;
	return VAE_H_S;
}

/* The parameters of a part, to be taken over by all threads. */
struct share {
	struct vae_model *model;
	struct reader *reader; /* of each thread */
	int count, param[VAE_MAX_PARAMS];
};

static int take_one(void *context, size_t i, int thread, struct vae_error *error)
{
	const struct share *s = context;
	int k = s->param[i];
	return take_param(&s->model->weights, &s->model->nets->params.list[k],
	                  &s->model->file->tensors.tensor[k], &s->reader[thread], error);
}

/* r: of each thread. */
static int take_part(struct vae_model *m, int part, struct reader *r, struct vae_error *error)
{
	struct share s = {.model = m, .reader = r};
	for (int i = 0; i < m->nets->params.count; i++)
		if (part_of(m->nets->params.list[i].name) == part)
			s.param[s.count++] = i;
	int rc = vae_parallel((size_t)s.count, take_one, &s, error);
	if (!rc && part == VAE_H_S)
		rc = take_scales(m, r, error);
	if (!rc && part == VAE_H_A && m->file->tensors.sensitivity >= 0)
		rc = take_sensitivity(m, r, error);
	if (!rc && part == VAE_SYNTHESIS && m->nets->arch.kind == VAE_ARCH_MLP)
		rc = take_sigmoid(m, r, error);
	if (!rc && part == VAE_PART_MEANS)
		rc = take_means(m, r, error);
	return rc;
}

/* Prepares those of `parts` that are not ready, under the lock. A part is marked ready only if its
 * file has not changed since loading. */
static int take_parts(struct vae_model *m, unsigned parts, struct vae_error *error)
{
	struct vae_model_file *f = m->file;
	size_t threads = (size_t)omp_get_max_threads();
	struct reader *r = NULL;
	int rc = readers_new(&r, threads, f, error);
	for (int i = 0; !rc && i <= VAE_PART_MEANS; i++) {
		unsigned part = 1u << i;
		if (!(parts & part & ~atomic_load_explicit(&f->ready, memory_order_relaxed)))
			continue;
		rc = take_part(m, i, r, error);
		int changed =
			vae_file_unchanged(&f->file, error); /* a clearer message than the error of reading */
		rc = changed ? changed : rc;
		if (!rc)
			atomic_fetch_or_explicit(&f->ready, part, memory_order_release);
	}
	readers_free(r, threads);
	return rc;
}

int vae_model_prepare(const struct vae_model *model, unsigned parts, struct vae_error *error)
{
	struct vae_model_file *f = model->file;
	if (!f || !(parts & ~atomic_load_explicit(&f->ready, memory_order_acquire)))
		return 0;
	uint64_t state = vae_fp_enter();
	pthread_mutex_lock(&f->lock);
	/* The model changes only under the lock, in places that no thread reads before the part is
	 * marked ready: it is const for all others. */
	int rc = take_parts((struct vae_model *)model, parts, error);
	pthread_mutex_unlock(&f->lock);
	vae_fp_leave(state);
	return rc ? blame(model->path, error, rc) : 0;
}

int vae_model_values(const struct vae_model *model, float *values, struct vae_error *error)
{
	const struct vae_model_file *f = model->file;
	struct reader r = {.file = f};
	int rc = 0;
	if (!f) {
		memcpy(values, model->weights.value, model->nets->params.total * sizeof *values);
		return 0;
	}
	const struct vae_tensor *t = f->tensors.tensor;
	for (int i = 0; !rc && i < model->nets->params.count; i++, t++)
		rc = take_floats(values + model->nets->params.list[i].offset, t, &r, error);
	if (!rc)
		rc = vae_file_unchanged(&f->file, error);
	reader_clear(&r);
	return rc ? blame(model->path, error, rc) : 0;
}

int vae_model_means(const struct vae_model *model, float *means, struct vae_error *error)
{
	const struct vae_model_file *f = model->file;
	const struct vae_tensor *t = &f->tensors.tensor[f->tensors.means];
	struct reader r = {.file = f};
	int rc = take_floats(means, t, &r, error);
	if (!rc)
		rc = take_floats(means + t->count, t + 1, &r, error);
	if (!rc)
		rc = vae_file_unchanged(&f->file, error);
	reader_clear(&r);
	return rc ? blame(model->path, error, rc) : 0;
}

/* Hashes the architecture and all tensors as they are in the file. */
static int hash_contents(uint64_t *id, const struct vae_model *m, XXH64_state_t *hash,
                         struct vae_error *error)
{
	const struct vae_model_file *f = m->file;
	uint8_t *bytes;
	int rc = vae_alloc_raw(&bytes, HASHED_BYTES, 1, error);
	if (rc)
		return rc;
	XXH64_reset(hash, 0);
	XXH64_update(hash, m->arch, strlen(m->arch));
	for (uint64_t at = 0; !rc && at < f->tensors.bytes; at += HASHED_BYTES) {
		size_t n =
			f->tensors.bytes - at < HASHED_BYTES ? (size_t)(f->tensors.bytes - at) : HASHED_BYTES;
		if (!(rc = vae_file_read(&f->file, bytes, n, f->data + at, error)))
			XXH64_update(hash, bytes, n);
	}
	free(bytes);
	*id = XXH64_digest(hash);
	return rc ? rc : vae_file_unchanged(&f->file, error);
}

int vae_model_verify(const struct vae_model *model, struct vae_error *error)
{
	uint64_t id = model->id;
	XXH64_state_t *hash = XXH64_createState();
	if (!hash)
		return vae_fail(error, VAE_EMEM, "out of memory");
	int rc = hash_contents(&id, model, hash, error);
	XXH64_freeState(hash);
	if (!rc && id != model->id)
		rc = vae_fail(
			error, VAE_EMODEL,
			"its id is %016llx, but its contents hash to %016llx: it was edited or damaged",
			(unsigned long long)model->id, (unsigned long long)id);
	return rc ? blame(model->path, error, rc) : 0;
}

void vae_model_free(struct vae_model *model)
{
	if (!model)
		return;
	for (int i = 0; i < model->metadata.count; i++) {
		free(model->metadata.key[i]);
		free(model->metadata.value[i]);
	}
	vae_weights_clear(&model->weights);
	vae_weights_clear(&model->means_weights);
	vae_cdfs_clear(&model->cdfs);
	vae_nets_free(model->nets);
	vae_nets_free(model->means);
	file_free(model->file);
	free(model->sigmoid);
	free(model->sensitivity);
	free(model->path);
	free(model);
}

/* ---- reports --------------------------------------------------------------------------------- */

uint64_t vae_model_id(const struct vae_model *model) { return model->id; }
const char *vae_model_arch(const struct vae_model *model) { return model->arch; }
const char *vae_model_path(const struct vae_model *model) { return model->path; }
bool vae_model_by_path(const struct vae_model *model) { return model->by_path; }
const char *vae_model_metadata(const struct vae_model *model, const char *key)
{
	return metadata_get(&model->metadata, key);
}

/* Returns the part under which a report counts a parameter: without a hyperprior, the coder's
 * tables count with the synthesis. */
static int reported_part(const struct vae_nets *nets, const char *name)
{
	int part = part_of(name);
	return nets->net[part].layers ? part : VAE_SYNTHESIS;
}

int vae_model_parts(const struct vae_model *model, struct vae_part *parts, int room)
{
	const struct vae_nets *nets = model->nets;
	/* mlp: a cell of its networks is a whole picture */
	double pixels =
		nets->arch.kind == VAE_ARCH_MLP ? (double)nets->arch.width * nets->arch.height : 1;
	int count = 0;
	for (int i = 0; i < VAE_NETS; i++) {
		const struct vae_net *net = &nets->net[i];
		if (!net->layers)
			continue;
		struct vae_part part = {.name = net->name,
		                        .decoder = net->decoder,
		                        .kmac_pixel = vae_net_macs_pixel(net) / pixels / 1000};
		for (int k = 0; k < nets->params.count; k++)
			if (reported_part(nets, nets->params.list[k].name) == i)
				part.parameters +=
					(uint64_t)nets->params.list[k].rows * nets->params.list[k].columns;
		if (count < room)
			parts[count] = part;
		count++;
	}
	return count;
}
