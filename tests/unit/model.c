/* model.c - model files: writing, reading, refusing, and finding them. */
#include "base/bytes.h"
#include "base/memory.h"
#include "base/random.h"
#include "model/model.h"
#include "tap.h"

#include <fcntl.h>
#include <jansson.h>
#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/vae-test-model-XXXXXX";
static struct vae_cdfs cdfs;
static struct vae_error error;

#define ALL_PARTS ((1u << VAE_NETS) - 1)
#define SMALL_PHOTO                                                                  \
	"photo enc=16 enc_blocks=1 y=6 hyper=16 ctx=16 z=3 dec=16 dec_blocks=1 grid=48 " \
	"grid_layers=1 ctx_blocks=1 knots=2"

struct bytes {
	uint8_t *data;
	size_t size;
};

static const char *in_folder(const char *name)
{
	static char text[4][200];
	static int turn;
	char *t = text[turn++ & 3];
	snprintf(t, sizeof text[0], "%s/%s", folder, name);
	return t;
}

static struct bytes slurp(const char *path)
{
	struct bytes b = {malloc(1 << 22), 0};
	FILE *f = fopen(path, "rb");
	if (f) {
		b.size = fread(b.data, 1, 1 << 22, f);
		fclose(f);
	}
	return b;
}

static void spill(const char *path, const void *data, size_t size)
{
	FILE *f = fopen(path, "wb");
	fwrite(data, 1, size, f);
	fclose(f);
}

/* Returns random weights for an architecture; the caller frees them. */
static float *values_new(const struct vae_nets *nets, uint64_t seed)
{
	float *v = calloc(nets->params.total, sizeof *v);
	struct vae_random r;
	vae_random_init(&r, seed, 0, 0);
	for (size_t i = 0; i < nets->params.total; i++)
		v[i] = (float)vae_random_normal(&r);
	for (int i = 0; i < nets->params.count; i++) {
		const struct vae_param *p = &nets->params.list[i];
		for (size_t k = 0; p->unit >= 0 && k < p->rows * p->columns; k++)
			v[p->offset + k] = rintf(400 * v[p->offset + k]);
	}
	return v;
}

static struct vae_nets *nets_of(const char *line)
{
	struct vae_arch arch;
	struct vae_nets *nets = NULL;
	if (vae_arch_parse(&arch, line, &error) || vae_nets_new(&nets, &arch, &error))
		printf("Bail out! %s\n", error.text), exit(1);
	return nets;
}

static int write_model(const char *path, const struct vae_nets *nets, const float *values,
                       const struct vae_metadata *metadata)
{
	static float sigmoid[VAE_SIGMOID_KNOTS];
	vae_sigmoid_make(sigmoid);
	FILE *f = fopen(path, "wb");
	int result =
		vae_model_write(f, nets, values, &cdfs, nets->arch.kind == VAE_ARCH_MLP ? sigmoid : NULL,
	                    NULL, NULL, metadata, &error);
	fclose(f);
	return result;
}

/* Makes a small model of a seed under a path. */
static void make(const char *path, uint64_t seed)
{
	struct vae_nets *nets = nets_of("mlp width=4 height=3 hidden1=5 hidden2=3 z=2 knots=2");
	float *values = values_new(nets, seed);
	write_model(path, nets, values, NULL);
	free(values);
	vae_nets_free(nets);
}

static bool refused(const char *path, int code, const char *word)
{
	struct vae_model *m = NULL;
	int result = vae_model_load(&m, path, &error);
	bool good = result == code && !m && strstr(error.text, word);
	if (!good)
		printf("# %d: %s (wanted %d: %s)\n", result, result ? error.text : "loaded", code, word);
	vae_model_free(m);
	return good;
}

/* ---- round trip ------------------------------------------------------------------------------ */

static bool same_values(const struct vae_model *m, const float *loaded, const float *values)
{
	for (int i = 0; i < m->nets->params.count; i++) {
		const struct vae_param *p = &m->nets->params.list[i];
		for (size_t k = 0; k < p->rows * p->columns; k++) {
			float want = values[p->offset + k], have = loaded[p->offset + k];
			if (have !=
			    (p->matrix && p->unit < 0 ? vae_float_from_half(vae_half_from_float(want)) : want))
				return false;
			if (!p->matrix && m->weights.value[p->offset + k] != want)
				return false;
		}
	}
	return true;
}

/* Returns whether a model holds a parameter of those values in its packed form, if it has one. */
static bool packed_as(const struct vae_model *m, float *room, const struct vae_param *p,
                      const float *values)
{
	size_t rows = p->rounded     ? 1 + (p->rows + 1) / 2
	              : p->unit >= 0 ? (p->rows + 1) / 2
	                             : p->rows,
		   floats = vae_packed_size(rows, p->columns);
	if (!p->matrix)
		return true;
	if (p->unit >= 0)
		vae_pack_int16(room, values + p->offset, p->rows, p->columns);
	else if (p->rounded)
		vae_round_param(room, &(struct vae_matrix){values + p->offset, p->rows, p->columns,
		                                           VAE_PANEL, p->columns});
	else
		vae_pack(room, values + p->offset, p->rows, p->columns, p->columns, 1);
	return !memcmp(room, m->weights.packed + p->packed, floats * sizeof *room);
}

static void test_round_trip(const char *line)
{
	struct vae_nets *nets = nets_of(line);
	float *values = values_new(nets, 1);
	struct vae_metadata metadata = {
		.count = 3,
		.key = {"licence", "training", "id"},
		.value = {"CC0-1.0", "ten \"images\"\nof \303\244", "not this"}};
	struct vae_model *m = NULL;
	const char *path = in_folder("round.safetensors"), *again = in_folder("again.safetensors");
	ok(!write_model(path, nets, values, &metadata), "%s: written", line);
	float *loaded = calloc(nets->params.total, sizeof *loaded);
	if (ok(!vae_model_load(&m, path, &error) && !vae_model_prepare(m, ALL_PARTS, &error),
	       "loaded (%s)", error.text)) {
		ok(!vae_model_values(m, loaded, &error) && same_values(m, loaded, values),
		   "values are those written, matrices rounded to 16 bits");
		ok(!vae_model_verify(m, &error), "the id is the hash of the contents");
		ok(!strcmp(vae_model_metadata(m, "training"), metadata.value[1]) &&
		       !vae_model_metadata(m, "none"),
		   "metadata come back");
		ok(m->cdfs.entries == cdfs.entries &&
		       !memcmp(m->cdfs.cumulative, cdfs.cumulative, 2 * cdfs.entries),
		   "tables come back");
		ok(vae_model_by_path(m) && vae_model_path(m)[0] == '/', "loaded by path");
		ok(m->sigmoid ? fabsf(m->sigmoid[2048] - 0.5f) == 0 && m->sigmoid[0] > 0
		              : nets->arch.kind == VAE_ARCH_PHOTO,
		   "logistic function");
		float *packed = aligned_alloc(VAE_ALIGN, (nets->params.packed_total * 4 + VAE_ALIGN - 1) /
		                                             VAE_ALIGN * VAE_ALIGN);
		bool same_packed = true;
		for (int i = 0; i < nets->params.count; i++)
			same_packed &= packed_as(m, packed, &nets->params.list[i], loaded);
		ok(same_packed, "matrices are packed");
		free(packed);

		FILE *f = fopen(again, "wb");
		vae_model_write(f, m->nets, loaded, &m->cdfs, m->sigmoid, m->sensitivity, NULL,
		                &m->metadata, &error);
		fclose(f);
		struct bytes a = slurp(path), b = slurp(again);
		ok(a.size == b.size && !memcmp(a.data, b.data, a.size), "written again: the same bytes");
		free(a.data);
		free(b.data);

		struct vae_part parts[VAE_NETS];
		uint64_t sum = 0, all = 0;
		int count = vae_model_parts(m, parts, VAE_NETS);
		for (int i = 0; i < count; i++)
			sum += parts[i].parameters;
		for (int i = 0; i < nets->params.count; i++)
			all += nets->params.list[i].rows * nets->params.list[i].columns;
		ok(count == (nets->arch.kind == VAE_ARCH_PHOTO ? 5 : 2) && sum == all &&
		       parts[0].kmac_pixel > 0,
		   "parts hold all parameters");
		ok(vae_model_parts(m, parts, 1) == count, "parts respect the room given");
	}
	vae_model_free(m);
	free(loaded);
	free(values);
	vae_nets_free(nets);
}

/* Tests the encoder's table, which a model may lack. */
static void test_sensitivity(void)
{
	struct vae_nets *nets =
		nets_of("photo enc=16 enc_blocks=1 y=8 hyper=16 ctx=16 z=4 ctx_blocks=1 dec=16 "
	            "dec_blocks=1 grid=48 grid_layers=1 knots=2");
	const char *path = in_folder("sensitivity.safetensors");
	float *values = values_new(nets, 4), table[16];
	for (int bad = -1; bad < 2; bad++) {
		struct vae_model *m = NULL;
		for (int i = 0; i < 16; i++)
			table[i] = (float)i;
		if (bad >= 0)
			table[5] = bad ? -1 : -0.0f;
		FILE *f = fopen(path, "wb");
		int rc = vae_model_write(f, nets, values, &cdfs, NULL, table, NULL, NULL, &error);
		fclose(f);
		ok(!rc && !vae_model_load(&m, path, &error) && !vae_model_verify(m, &error) &&
		       !m->sensitivity,
		   "written, loaded");
		rc = vae_model_prepare(m, 1u << VAE_H_A, &error);
		ok(bad == 1
		       ? rc == VAE_EMODEL && strstr(error.text, "number 5 is negative") && !m->sensitivity
		       : !rc && !memcmp(m->sensitivity, table, sizeof table),
		   "%s", bad == 1 ? error.text : "there with h_a");
		vae_model_free(m);
	}
	struct bytes b = slurp(path);
	char *name = memmem(b.data, b.size, "prior.sensitivity", 17);
	name[16] = 'x';
	spill(path, b.data, b.size);
	ok(refused(path, VAE_EMODEL, "tensors"), "under another name: a tensor too many");
	name[16] = 'y';
	memcpy(memmem(name, 100, "[2,8]", 5), "[8,2]", 5);
	spill(path, b.data, b.size);
	ok(refused(path, VAE_EMODEL, "prior.sensitivity: not F32"), "of another shape");
	free(b.data);
	free(values);
	vae_nets_free(nets);
}

/* The map to means, which a model may lack. */
static void test_means(void)
{
	struct vae_nets *nets =
		nets_of("photo enc=16 enc_blocks=1 y=8 hyper=16 ctx=16 z=4 ctx_blocks=1 dec=16 "
	            "dec_blocks=1 grid=48 grid_layers=1 knots=2");
	const char *path = in_folder("means.safetensors");
	float *values = values_new(nets, 4), table[16] = {0}, means[9 * VAE_MEANS];
	struct vae_model *m = NULL;
	for (int i = 0; i < 9 * VAE_MEANS; i++)
		means[i] = (float)i / 64;
	for (int both = 0; both < 2; both++) {
		FILE *f = fopen(path, "wb");
		int rc =
			vae_model_write(f, nets, values, &cdfs, NULL, both ? table : NULL, means, NULL, &error);
		fclose(f);
		ok(!rc && !vae_model_load(&m, path, &error) && !vae_model_verify(m, &error) &&
		       !vae_model_prepare(m, 1u << VAE_PART_MEANS, &error),
		   "written, loaded");
		const struct vae_params *p = &m->means->params;
		const float *value = m->means_weights.value;
		size_t gain = vae_param_offset(&m->nets->params, "dec.gain_y");
		float *packed = calloc(p->packed_total, sizeof *packed);
		vae_pack(packed, means, 8, VAE_MEANS, VAE_MEANS, 1);
		ok(!memcmp(packed, m->means_weights.packed, p->packed_total * sizeof *packed) &&
		       !memcmp(value + vae_param_offset(p, "dec.means.bias"), means + 8 * VAE_MEANS,
		               VAE_MEANS * sizeof *means) &&
		       !memcmp(value + vae_param_offset(p, "dec.gain_y"), values + gain,
		               16 * sizeof *values),
		   "weights, biases and the gains in front come back");
		free(packed);
		vae_model_free(m);
	}
	struct bytes b = slurp(path);
	char *name = memmem(b.data, b.size, "dec.means.bias", 14);
	name[13] = 'x';
	spill(path, b.data, b.size);
	ok(refused(path, VAE_EMODEL, "no tensor dec.means.bias"), "weights without biases");
	free(b.data);
	free(values);
	vae_nets_free(nets);
}

/* Tests that integers are refused whose products could overflow, by reader and writer. */
static void test_integers(void)
{
	struct vae_nets *nets = nets_of(SMALL_PHOTO " arith=int16");
	const struct vae_param *p = &nets->params.list[vae_param_find(&nets->params, "dec.in.weight")];
	const char *path = in_folder("integers.safetensors");
	float *values = values_new(nets, 9), *column = values + p->offset + 3;
	struct vae_model *m = NULL;
	uint32_t left = VAE_INT16_SUM;
	for (size_t i = 0; i < p->rows; i++, column += p->columns) {
		*column = left < INT16_MAX ? (float)left : INT16_MAX;
		left -= (uint32_t)*column;
	}
	for (int over = 0; over < 2; over++) {
		values[p->offset + (p->rows - 1) * p->columns + 3] = (float)-over;
		int rc = write_model(path, nets, values, NULL);
		ok(!rc && !vae_model_load(&m, path, &error) &&
		       !vae_model_prepare(m, ALL_PARTS & ~(1u << VAE_SYNTHESIS), &error),
		   "written, loaded");
		rc = vae_model_prepare(m, 1u << VAE_SYNTHESIS, &error);
		ok(over ? rc == VAE_EMODEL && strstr(error.text, "tensor dec.in.weight: the magnitudes")
		        : !rc,
		   "a column that sums up to %d: %s", VAE_INT16_SUM + over, rc ? error.text : "taken");
		vae_model_free(m);
		m = NULL;
	}
	values[p->offset] = 32768;
	ok(write_model(path, nets, values, NULL) == VAE_EMODEL &&
	       strstr(error.text, "tensor dec.in.weight: number 0"),
	   "not written: %s", error.text);
	free(values);
	vae_nets_free(nets);
}

/* ---- parts ----------------------------------------------------------------------------------- */

/* Each part is prepared when it is asked for, even by many threads at once, and a part that is not
 * asked for is not read. */
static void test_parts(const char *line)
{
	struct vae_nets *nets = nets_of(line);
	static const struct {
		const char *name;
		int part;
	} first[] = {{"enc.patch.weight", VAE_ANALYSIS}, {"prior.ha.in.weight", VAE_H_A},
	             {"prior.hs.up0.weight", VAE_H_S},   {"prior.z.mean", VAE_H_S},
	             {"prior.ctx.in.bias", VAE_CONTEXT}, {"dec.gain_y", VAE_SYNTHESIS}};
	const char *path = in_folder("parts.safetensors");
	float *values = values_new(nets, 8);
	write_model(path, nets, values, NULL);
	struct bytes b = slurp(path);
	json_t *root = json_loadb((char *)b.data + 8, vae_get64(b.data), 0, NULL);
	uint8_t *data = b.data + 8 + vae_get64(b.data);
	struct vae_model *m = NULL;
	for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
		if (nets->params.list[vae_param_find(&nets->params, first[i].name)].unit >= 0)
			continue; /* integers are finite */
		json_int_t begin = 0;
		const char *dtype = "";
		json_unpack(root, "{s:{s:s,s:[I]}}", first[i].name, "dtype", &dtype, "data_offsets",
		            &begin);
		size_t top =
			strcmp(dtype, "F16") ? 4 : 2; /* bytes of the number; its upper two become a NaN's */
		uint8_t *at = data + begin + 2 * top, whole[4];
		memcpy(whole, at, 4);
		vae_put16(at + top - 2, strcmp(dtype, "F16") ? 0x7fc0 : 0x7e01);
		spill(path, b.data, b.size);
		memcpy(at, whole, 4);
		ok(!vae_model_load(&m, path, &error) &&
		       !vae_model_prepare(m, ALL_PARTS & ~(1u << first[i].part), &error),
		   "%s: not looked at in vain", first[i].name);
		char expected[100];
		snprintf(expected, sizeof expected, "parts.safetensors: tensor %s: number 2 is not finite",
		         first[i].name);
		for (int again = 0; again < 2; again++)
			ok(vae_model_prepare(m, ALL_PARTS, &error) == VAE_EMODEL &&
			       strstr(error.text, expected),
			   "refused where it is needed (%s)", error.text);
		vae_model_free(m);
		m = NULL;
	}
	spill(path, b.data, b.size);
	int failed = 0;
	vae_model_load(&m, path, &error);
#pragma omp parallel for num_threads(4) schedule(static, 1) reduction(+ : failed)
	for (int i = 0; i < 64; i++)
		failed += vae_model_prepare(m, 1u << i % VAE_NETS, NULL) != 0;
	float *loaded = calloc(nets->params.total, sizeof *loaded);
	ok(!failed && !vae_model_values(m, loaded, &error) && same_values(m, loaded, values) &&
	       m->cdfs.entries == cdfs.entries,
	   "several threads prepare one model");
	free(loaded);
	vae_model_free(m);
	json_decref(root);
	free(b.data);
	free(values);
	vae_nets_free(nets);
}

/* ---- layout ---------------------------------------------------------------------------------- */

static void test_layout(void)
{
	const char *path = in_folder("layout.safetensors");
	make(path, 3);
	struct bytes b = slurp(path);
	uint64_t length = vae_get64(b.data);
	ok((8 + length) % 8 == 0 && b.data[8] == '{',
	   "the data is 8-byte aligned, the header starts with a brace");
	json_t *root = json_loadb((char *)b.data + 8, length, JSON_REJECT_DUPLICATES, NULL);
	const char *name, *hex = "", *arch = "", *version = "";
	json_t *entry;
	json_unpack(root, "{s:{s:s,s:s,s:s}}", "__metadata__", "id", &hex, "architecture", &arch,
	            "format_version", &version);
	ok(!strcmp(version, "1") &&
	       !strcmp(arch, "mlp width=4 height=3 hidden1=5 hidden2=3 z=2 knots=2"),
	   "version and architecture");
	json_int_t place = 0;
	bool tiled = true;
	int count = 0;
	json_object_foreach(root, name, entry)
	{
		json_int_t begin = -1, end = -1;
		if (!strcmp(name, "__metadata__"))
			continue;
		json_unpack(entry, "{s:[I,I]}", "data_offsets", &begin, &end);
		tiled = tiled && begin == place && end > begin;
		place = end;
		count++;
	}
	ok(tiled && 8 + length + (uint64_t)place == b.size, "%d tensors tile the data in their order",
	   count);
	const char *dtype = "";
	json_int_t rows = 0, columns = 0;
	json_unpack(root, "{s:{s:s,s:[I,I]}}", "enc.dense0.weight", "dtype", &dtype, "shape", &rows,
	            &columns);
	ok(!strcmp(dtype, "F16") && rows == 12 && columns == 5, "a matrix is F16, inputs x outputs");
	json_unpack(root, "{s:{s:s,s:[I!]}}", "enc.dense0.bias", "dtype", &dtype, "shape", &rows);
	ok(!strcmp(dtype, "F32") && rows == 5, "a bias is F32, of one dimension");
	json_unpack(root, "{s:{s:s}}", "prior.scales.bound", "dtype", &dtype);
	ok(!strcmp(dtype, "I32"), "bounds are I32");
	json_unpack(root, "{s:{s:s,s:[I!]}}", "dec.sigmoid", "dtype", &dtype, "shape", &rows);
	ok(!strcmp(dtype, "F32") && rows == VAE_SIGMOID_KNOTS, "logistic function is F32");
	uint64_t id = strtoull(hex, NULL, 16);
	struct vae_model *m = NULL;
	ok(vae_model_load_id(&m, path, id, &error) == 1 && vae_model_id(m) == id,
	   "loaded by the id in the header");
	vae_model_free(m);
	m = NULL;
	ok(!vae_model_load_id(&m, path, id + 1, &error) && !m &&
	       !vae_model_load_id(&m, in_folder("absent"), id, &error),
	   "not by another");
	json_decref(root);
	free(b.data);
}

/* ---- damage ---------------------------------------------------------------------------------- */

/* Replaces the first `from` in the file by `to` and corrects the header's length. */
static void edit(const char *path, const struct bytes *b, const char *from, const char *to)
{
	uint64_t length = vae_get64(b->data);
	char *header = strndup((char *)b->data + 8, length), *at = strstr(header, from);
	char *fresh = calloc(1, length + strlen(to) + 16);
	if (!at)
		printf("Bail out! no %s\n", from), exit(1);
	int n = sprintf(fresh + 8, "%.*s%s%s", (int)(at - header), header, to, at + strlen(from));
	vae_put64((uint8_t *)fresh, (uint64_t)n);
	FILE *f = fopen(path, "wb");
	fwrite(fresh, 1, 8 + (size_t)n, f);
	fwrite(b->data + 8 + length, 1, b->size - 8 - length, f);
	fclose(f);
	free(header);
	free(fresh);
}

/* A header may write the digits of its id as escapes. */
static void test_escaped_id(const struct bytes *b, const char *path)
{
	struct vae_model *m = NULL;
	char escaped[32];
	char *header = strndup((char *)b->data + 8, vae_get64(b->data)),
		 *hex = strstr(header, "\"id\":\"") + 6;
	hex[16] = 0;
	snprintf(escaped, sizeof escaped, "\\u%04x%s", hex[0], hex + 1);
	edit(path, b, hex, escaped);
	ok(vae_model_load_id(&m, path, strtoull(hex, NULL, 16), &error) == 1,
	   "an id with an escape is found: %s", escaped);
	vae_model_free(m);
	free(header);
}

static void test_prefixes(const struct bytes *b, const char *path)
{
	uint64_t data = 8 + vae_get64(b->data);
	int bad = 0;
	for (size_t n = 0; n < b->size; n += n < data + 64 || n + 65 > b->size ? 1 : 997) {
		struct vae_model *m = NULL;
		spill(path, b->data, n);
		if (vae_model_load(&m, path, &error) != VAE_EMODEL || m)
			bad++;
		vae_model_free(m);
	}
	ok(!bad, "every truncation is refused");
}

static void test_flips(const struct bytes *b, const char *path)
{
	uint64_t data = 8 + vae_get64(b->data);
	int loaded = 0, wrong = 0;
	uint8_t *copy = malloc(b->size);
	for (size_t n = 0; n < data + 60; n++) {
		struct vae_model *m = NULL;
		memcpy(copy, b->data, b->size);
		copy[n] ^= 1 + n % 255;
		spill(path, copy, b->size);
		if (!vae_model_load(&m, path, &error)) {
			loaded++;
			/* only bytes that are not the model's own: a letter of the licence or the padding;
			 * others change the id */
			wrong += !vae_model_verify(m, &error);
		}
		vae_model_free(m);
	}
	free(copy);
	ok(wrong <= 7,
	   "flipped bytes are refused or told by the id (%d loaded, %d of them the same model)", loaded,
	   wrong);
}

static void test_damage(void)
{
	const char *good = in_folder("good.safetensors"), *path = in_folder("bad.safetensors");
	make(good, 4);
	struct bytes b = slurp(good);
	test_escaped_id(&b, path);
	test_prefixes(&b, path);
	test_flips(&b, path);

	uint8_t *longer = calloc(1, b.size + 1);
	memcpy(longer, b.data, b.size);
	spill(path, longer, b.size + 1);
	ok(refused(path, VAE_EMODEL, "too long"), "bytes behind the data");
	vae_put64(longer, VAE_MODEL_HEADER_BYTES + 1);
	spill(path, longer, b.size);
	ok(refused(path, VAE_EMODEL, "header"), "a header over the limit");
	vae_put64(longer, UINT64_MAX);
	spill(path, longer, b.size);
	ok(refused(path, VAE_EMODEL, "header"), "a header of 2^64 - 1 bytes");
	spill(path, "\2\0\0\0\0\0\0\0[]", 10);
	struct vae_model *none = NULL;
	ok(refused(path, VAE_EMODEL, "not an object") && !vae_model_load_id(&none, path, 0, NULL),
	   "a list for a header");
	size_t held = mallinfo2().uordblks; /* 0 under a sanitizer, which checks leaks itself */
	for (int i = 0; i < 100; i++)
		vae_model_load_id(&none, path, 0, NULL);
	ok(mallinfo2().uordblks <= held, "which leaves no memory behind (%zd bytes)",
	   (ssize_t)(mallinfo2().uordblks - held));
	memcpy(longer, b.data, b.size);
	uint64_t data = 8 + vae_get64(b.data);
	longer[data + 1] = 0x7c; /* the first weight becomes infinite */
	longer[data] = 0;
	spill(path, longer, b.size);
	struct vae_model *infinite = NULL;
	ok(!vae_model_load(&infinite, path, &error) &&
	       vae_model_prepare(infinite, 1u << VAE_ANALYSIS, &error) == VAE_EMODEL &&
	       strstr(error.text, "enc.dense0.weight: number 0 is not finite"),
	   "an infinite weight");
	vae_model_free(infinite);
	free(longer);

	static const struct {
		const char *from, *to, *word, *what;
	} edits[] = {
		{"\"format_version\":\"1\"", "\"format_version\":\"2\"", "format version",
	     "another version"},
		{"\"format_version\":\"1\"", "\"format_version\":0", "not a string",
	     "metadata that is no string"},
		{"\"format_version\":\"1\",", "", "lacks", "no version"},
		{"\"id\":\"", "\"id\":\"x", "id", "an id of 17 digits"},
		{"mlp width=4", "mlp  width=4", "canonical", "an architecture in another form"},
		{"mlp width=4", "mlq width=4", "neither", "an unknown architecture"},
		{"z=2", "z=3", "shape", "an architecture that does not fit"},
		{"hidden1=5", "hidden1=4096", "shape", "an architecture that asks for more"},
		{"mlp width=4 height=3 hidden1=5 hidden2=3 z=2 knots=2",
	     "photo enc=1024 enc_blocks=2 y=768 hyper=1024 z=512 steps=2 ctx=1024 ctx_blocks=2 "
	     "dec=1024 dec_blocks=2 grid=256 grid_layers=2 knots=64 lambda=0.0008:0.2",
	     "no tensor", "a huge architecture"},
		{"\"enc.dense0.bias\"", "\"enc.dense0.bies\"", "no tensor enc.dense0.bias",
	     "a missing tensor"},
		{"\"enc.dense0.weight\"",
	     "\"x\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,2]},\"enc.dense0.weight\"",
	     "tensors, where", "one tensor too many"},
		{"\"enc.dense0.bias\"", "\"enc.dense0.weight\"", "duplicate", "a name twice"},
		{"\"dtype\":\"F16\",\"shape\":[12,5]", "\"dtype\":\"F32\",\"shape\":[12,5]", "not F16",
	     "another type"},
		{"[12,5]", "[5,12]", "shape", "another shape"},
		{"[12,5]", "[60]", "shape", "another rank"},
		{"[12,5]", "[12,5.0]", "shape", "a shape that is no integer"},
		{"[12,5]", "{}", "shape", "a shape that is no list"},
		{"\"data_offsets\":[0,120]", "\"data_offsets\":[0,122]", "bytes 0 to 122", "an overlap"},
		{"\"data_offsets\":[0,120]", "\"data_offsets\":[-1,119]", "bytes -1", "a negative place"},
		{"\"data_offsets\":[0,120]", "\"data_offsets\":[20,140]",
	     "bytes 20 to 140, not 0 to 120: the tensors must lie in the order", "another order"},
		{"\"data_offsets\":[0,120]", "\"data_offsets\":[0,120],\"more\":1", "malformed",
	     "an entry with more"},
		{"\"data_offsets\":[0,120]", "\"data_offsets\":[0]", "malformed", "one offset"},
		{"\"prior.scales.cumulative\"", "\"prior.scales.cumulativo\"", "prior.scales.cumulative",
	     "no tables"},
		{"{\"__metadata__\"", "[{\"__metadata__\"", "header byte", "no JSON"},
		{"{\"__metadata__\"", "{\"[[[[[[[[[[[\\\"[[[\":[[[[[[[]]]]]]],\"__metadata__\"",
	     "tensors, where", "nesting as deep as is read"},
		{"{\"__metadata__\"", "{\"x\":[[[[[[[[]]]]]]]],\"__metadata__\"", "nested deeper than 8",
	     "nesting that takes stack"},
	};
	for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
		edit(path, &b, edits[i].from, edits[i].to);
		ok(refused(path, VAE_EMODEL, edits[i].word), "refused: %s", edits[i].what);
	}
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
#ifdef __SANITIZE_ADDRESS__
	usage.ru_maxrss = 0; /* the sanitizer's own memory counts, too */
#endif
	ok(usage.ru_maxrss < 200 << 10, "in little memory (%ld KiB)", usage.ru_maxrss);
	free(b.data);

	struct vae_nets *nets = nets_of("mlp width=4 height=3 hidden1=5 hidden2=3 z=2 knots=2");
	float *values = values_new(nets, 5);
	const float unfit[] = {NAN, INFINITY, 65520};
	for (int i = 0; i < 3; i++) {
		values[7] = unfit[i];
		int result = write_model(path, nets, values, NULL);
		struct bytes nothing = slurp(path);
		ok(result == VAE_EMODEL && strstr(error.text, "enc.dense0.weight: number 7") &&
		       nothing.size == 0,
		   "%g is not written", unfit[i]);
		free(nothing.data);
	}
	values[7] = 1;
	struct vae_metadata latin = {.count = 1, .key = {"licence"}, .value = {"caf\351"}};
	ok(write_model(path, nets, values, &latin) == VAE_EARG,
	   "metadata that is not UTF-8 is not written");
	FILE *full = fopen("/dev/full", "wb");
	if (full) {
		setvbuf(full, NULL, _IONBF, 0);
		float sigmoid[VAE_SIGMOID_KNOTS] = {0};
		ok(vae_model_write(full, nets, values, &cdfs, sigmoid, NULL, NULL, NULL, &error) ==
		           VAE_EIO &&
		       strstr(error.text, "No space"),
		   "a full disk");
		fclose(full);
	}
	free(values);
	vae_nets_free(nets);
	ok(refused(folder, VAE_EMODEL, "not a regular file"), "a directory");
	mkfifo(in_folder("fifo.safetensors"), 0600);
	ok(refused(in_folder("fifo.safetensors"), VAE_EMODEL, "not a regular file"),
	   "a FIFO does not hang");
	ok(refused(in_folder("absent"), VAE_EMODEL, "No such file"), "no file");
}

/* ---- files that change under a model --------------------------------------------------------- */

/* Returns the result of using a model whose file is changed between loading and use. */
static int used_after(const char *path, void (*change)(const char *path, const struct bytes *b),
                      const struct bytes *b)
{
	struct vae_model *m = NULL;
	spill(path, b->data, b->size);
	int result = vae_model_load(&m, path, &error);
	change(path, b);
	if (!result)
		result = vae_model_prepare(m, ALL_PARTS, &error);
	vae_model_free(m);
	return result;
}

static void cut(const char *path, const struct bytes *b)
{
	if (truncate(path, (off_t)b->size / 2))
		printf("Bail out! cannot cut %s\n", path), exit(1);
}

static void rewrite(const char *path, const struct bytes *b)
{
	struct timespec times[2] = {{0, UTIME_OMIT}, {1, 0}}; /* file clocks are coarse */
	spill(path, b->data, b->size);
	utimensat(AT_FDCWD, path, times, 0);
}

static void replace(const char *path, const struct bytes *b)
{
	const char *other = in_folder("other.safetensors");
	spill(other, b->data, b->size / 2);
	if (rename(other, path))
		printf("Bail out! cannot rename %s\n", other), exit(1);
}

/* Changes the first weight, under the same id. */
static void test_edited(const char *path, struct bytes *b)
{
	struct vae_model *m = NULL;
	make(path, 21);
	*b = slurp(path);
	uint64_t id;
	ok(!vae_model_find(&m, path, &error), "found by its path");
	id = vae_model_id(m);
	vae_model_free(m);
	m = NULL;
	b->data[8 + vae_get64(b->data)] ^= 1;
	spill(path, b->data, b->size);
	ok(vae_model_find(&m, path, &error) == VAE_EMODEL && !m && strstr(error.text, "edited"),
	   "edited under its old id: %s", error.text);
	ok(vae_model_find_id(&m, id, path, &error) == VAE_EMODEL && !m && strstr(error.text, "edited"),
	   "not taken for a hint either");
}

static void test_changes(void)
{
	const char *path = in_folder("changing.safetensors");
	struct bytes b;
	test_edited(path, &b);
	ok(used_after(path, cut, &b) == VAE_EMODEL && strstr(error.text, "changed while it was in use"),
	   "cut while it was in use: %s", error.text);
	ok(used_after(path, rewrite, &b) == VAE_EMODEL &&
	       strstr(error.text, "changed while it was in use"),
	   "written over while it was in use");
	ok(!used_after(path, replace, &b),
	   "replaced while it was in use: goes on with what was loaded");
	free(b.data);
}

/* ---- finding --------------------------------------------------------------------------------- */

/* Returns the base name of the file that vae_model_find finds, or "" with error filled. */
static const char *found(const char *name)
{
	static char text[100];
	struct vae_model *m = NULL;
	*text = 0;
	if (!vae_model_find(&m, name, &error))
		snprintf(text, sizeof text, "%.90s%s", strrchr(vae_model_path(m), '/') + 1,
		         vae_model_by_path(m) ? " by path" : "");
	vae_model_free(m);
	return text;
}

static bool found_id(uint64_t id, const char *hint, const char *want)
{
	struct vae_model *m = NULL;
	int result = vae_model_find_id(&m, id, hint, &error);
	bool good = want ? !result && strstr(vae_model_path(m), want) : result == VAE_EMODEL && !m;
	if (!good)
		printf("# %s\n", result ? error.text : vae_model_path(m));
	vae_model_free(m);
	return good;
}

static uint64_t id_of(const char *path)
{
	struct vae_model *m = NULL;
	uint64_t id = vae_model_load(&m, path, &error) ? 0 : vae_model_id(m);
	vae_model_free(m);
	return id;
}

static void test_find(void)
{
	char list[200], near[400];
	mkdir(in_folder("one"), 0700);
	mkdir(in_folder("two"), 0700);
	mkdir(in_folder("xdg"), 0700);
	mkdir(in_folder("xdg/vae-tools"), 0700);
	mkdir(in_folder("xdg/vae-tools/models"), 0700);
	snprintf(list, sizeof list, "%s/absent::%s/one:%s/two", folder, folder, folder);
	setenv("VAE_MODEL_PATH", list, 1);
	setenv("XDG_DATA_HOME", in_folder("xdg"), 1);
	unsetenv("VAE_MODEL");
	make(in_folder("one/pet-2.safetensors"), 10);
	make(in_folder("one/pet-10.safetensors"), 11);
	make(in_folder("one/pet-011.safetensors"), 12);
	make(in_folder("one/pet-3a.safetensors"), 12);
	mkdir(in_folder("one/pet-99.safetensors"), 0700);
	make(in_folder("two/pet.safetensors"), 13);
	make(in_folder("two/exact.safetensors"), 14);
	make(in_folder("two/exact-5.safetensors"), 15);
	make(in_folder("xdg/vae-tools/models/mine.safetensors"), 16);
	make(in_folder("else.safetensors"), 17);

	ok(!strcmp(found("pet"), "pet-10.safetensors"),
	   "the newest version, counted as numbers, in the first directory that has one");
	ok(!strcmp(found("pet-2"), "pet-2.safetensors"), "a version by its name");
	ok(!strcmp(found("exact"), "exact.safetensors"), "the exact name before a version");
	ok(!strcmp(found("mine"), "mine.safetensors"), "the user's data directory");
	ok(!strcmp(found(in_folder("else.safetensors")), "else.safetensors by path"), "a path");
	ok(!*found("absent") && strstr(error.text, "no model 'absent': looked in") &&
	       strstr(error.text, "/one, "),
	   "no such model: %s", error.text);
	ok(!*found(".hidden") && !*found("") && !*found("a b") && !*found("a\nb"),
	   "names that are none");
	setenv("VAE_MODEL", "mine", 1);
	ok(!strcmp(found(NULL), "mine.safetensors"), "$VAE_MODEL");
	setenv("VAE_MODEL", "", 1);
	found(NULL);
	ok(!*found(NULL) ? strstr(error.text, "'photo'") != NULL : !strncmp(found(NULL), "photo", 5),
	   "photo, where nothing is said");
	if (!chdir(folder))
		ok(!*found("else.safetensors") && strstr(error.text, "./else.safetensors"),
		   "a file here is named by a path: %s", error.text);

	uint64_t id = id_of(in_folder("two/exact-5.safetensors"));
	ok(found_id(id, NULL, "exact-5"), "by id");
	struct bytes b = slurp(in_folder("two/exact-5.safetensors"));
	spill(in_folder("one/a-broken.safetensors"), b.data, b.size - 1);
	ok(found_id(id, NULL, "exact-5"), "by id, past a damaged copy");
	unlink(in_folder("two/exact-5.safetensors"));
	ok(found_id(id, NULL, NULL) && strstr(error.text, "truncated"), "only a damaged copy: %s",
	   error.text);
	free(b.data);
	id = id_of(in_folder("else.safetensors"));
	ok(found_id(id, NULL, NULL) && strstr(error.text, "looked in"), "not on the path: %s",
	   error.text);
	ok(found_id(id, in_folder("else.safetensors"), "else"), "the hint");
	ok(found_id(id, in_folder("two/exact.safetensors"), NULL), "a hint at another model");
	ok(found_id(id, in_folder("fifo.safetensors"), NULL), "a hint at a FIFO");
	snprintf(near, sizeof near, "rm -r %s", folder);
	if (chdir("/") || system(near))
		printf("# %s is left\n", folder);
}

int main(void)
{
	if (!mkdtemp(folder) || vae_cdfs_make(&cdfs, NULL, &error))
		return 1;
	test_round_trip("mlp width=4 height=3 hidden1=5 hidden2=3 z=2 knots=2");
	test_round_trip(SMALL_PHOTO);
	test_round_trip(SMALL_PHOTO " arith=int16");
	test_integers();
	test_sensitivity();
	test_means();
	test_parts(SMALL_PHOTO);
	test_parts(SMALL_PHOTO " arith=int16");
	test_layout();
	test_damage();
	test_changes();
	test_find();
	vae_cdfs_clear(&cdfs);
	return tap_done();
}
