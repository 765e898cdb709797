/* The prior's integer tables and the entropy coder. */
#include "base/random.h"
#include "prior/draw.h"
#include "prior/coder.h"
#include "tap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t whole = 1 << VAE_SCALE_BITS;

static double deviation(double i) { return 0.11 * pow(512 / 0.11, i / (VAE_SCALES - 1)); }

static uint32_t count_of(const struct vae_cdfs *cdfs, int table, int symbol)
{
	const uint16_t *c = cdfs->cumulative + cdfs->first[table];
	return (symbol == 2 * cdfs->bound[table] + 1 ? whole : c[symbol + 1]) - c[symbol];
}

/* ---- rounding -------------------------------------------------------------------------------- */

static void test_rounding(void)
{
	int wrong = 0;
	for (int i = 0; i < VAE_SCALES; i++) {
		wrong += vae_scale_index((float)log(deviation(i))) != i;
		wrong += vae_scale_index((float)log(deviation(i + 0.499))) != i;
		wrong += vae_scale_index((float)log(deviation(i - 0.499))) != i;
	}
	ok(!wrong, "each deviation has its own table, and half a step around it");
	ok(vae_scale_index(NAN) == 0 && vae_scale_index(-NAN) == 0 && vae_scale_index(-INFINITY) == 0 &&
	       vae_scale_index(-3e38f) == 0 && vae_scale_index(INFINITY) == 63 &&
	       vae_scale_index(3e38f) == 63,
	   "log-scales out of range are clamped, NaN gives table 0");

	struct vae_random r;
	vae_random_init(&r, 1, 0, 0);
	wrong = 0;
	for (int i = 0; i < 300000; i++) {
		float v = (vae_random_uniform(&r) - 0.5f) * (float)(1 << vae_random_below(&r, 24));
		if (i & 1)
			v = rintf(v) + 0.5f;
		float clamped = fminf(fmaxf(v, -VAE_SYMBOL_LIMIT), VAE_SYMBOL_LIMIT);
		wrong += vae_round_symbol(v) != (int32_t)lrintf(clamped);
	}
	ok(!wrong, "symbols are rounded half to even");
	ok(vae_round_symbol(2.5f) == 2 && vae_round_symbol(-3.5f) == -4 &&
	       vae_round_symbol(0x1.fffffep-2f) == 0 && vae_round_symbol(1e30f) == VAE_SYMBOL_LIMIT &&
	       vae_round_symbol(-INFINITY) == -VAE_SYMBOL_LIMIT && vae_round_symbol(NAN) == 0,
	   "and clamped first; NaN gives 0");
}

/* ---- tables ---------------------------------------------------------------------------------- */

static void test_made_tables(const struct vae_cdfs *cdfs)
{
	int wrong = 0;
	for (int i = 0; i < VAE_SCALES; i++) {
		uint32_t sum = 0;
		int bound = cdfs->bound[i];
		wrong += bound < 1 || bound > 4095 || (i && bound < cdfs->bound[i - 1]);
		for (int s = 0; s < 2 * bound + 2; s++) {
			uint32_t count = count_of(cdfs, i, s);
			wrong += count < 1 || count > whole;
			wrong += s <= bound && labs((long)count - (long)count_of(cdfs, i, 2 * bound - s)) > 1;
			sum += count;
		}
		wrong += sum != whole;
	}
	ok(!wrong, "made tables are whole, symmetric, and leave no symbol without a count");
}

/* Returns the bits that table i spends on a rounded Gaussian of deviation sigma. *entropy: its
 * entropy in bits. */
static double expected_bits(const struct vae_cdfs *cdfs, uint8_t index, double sigma,
                            double *entropy)
{
	double bits = 0;
	*entropy = 0;
	for (int r = 0; r <= (int)(12 * sigma) + 12; r++) {
		double mass = 0.5 * (erfc((r - 0.5) / sigma / sqrt(2)) - erfc((r + 0.5) / sigma / sqrt(2)));
		if (mass <= 0)
			break;
		mass *= r ? 2 : 1;
		*entropy -= mass * log2(r ? mass / 2 : mass);
		bits += mass * vae_coder_bits(cdfs, index, r);
	}
	return bits;
}

/* A deviation half a step off costs d^2 nats, d = ln(512 / 0.11) / 126: 0.0065 bits; rounding of
 * the counts costs the rest. */
static void test_cost(const struct vae_cdfs *cdfs)
{
	double worst = -1, worst_sigma = 0, sum = 0;
	int points = 0;
	for (double i = 0; i <= VAE_SCALES - 1; i += 0.125) {
		double entropy, sigma = deviation(i);
		double bits = expected_bits(cdfs, vae_scale_index((float)log(sigma)), sigma, &entropy);
		double over = bits - (entropy * 1.003 + 0.003);
		if (over > worst) {
			worst = over;
			worst_sigma = sigma;
		}
		sum += bits - entropy;
		points++;
	}
	ok(worst <= 0,
	   "any deviation costs at most 0.3 %% + 0.003 bit more than its entropy (nearest at %.2f: "
	   "%+.4f)",
	   worst_sigma, worst);
	ok(sum / points < 0.005, "and %.4f bit on average", sum / points);
	worst = 0;
	for (int i = 20; i < 50; i++) {
		double entropy, bits = expected_bits(cdfs, (uint8_t)i, deviation(i), &entropy);
		worsen(&worst, bits / entropy - 1);
	}
	ok(worst < 0.001, "the counts alone cost at most %.4f %% at middling deviations", 100 * worst);
}

static int same_tables(const struct vae_cdfs *a, const struct vae_cdfs *b)
{
	return a->entries == b->entries && !memcmp(a->bound, b->bound, sizeof a->bound) &&
	       !memcmp(a->first, b->first, sizeof a->first) &&
	       !memcmp(a->cumulative, b->cumulative, a->entries * sizeof *a->cumulative) &&
	       !memcmp(a->start, b->start, VAE_SCALES * sizeof *a->start);
}

static int refused(const int32_t *bound, const uint16_t *cumulative, size_t entries)
{
	struct vae_cdfs cdfs, before;
	struct vae_error error;
	memset(&cdfs, 0x5a, sizeof cdfs);
	before = cdfs;
	return vae_cdfs_load(&cdfs, bound, cumulative, entries, &error) == VAE_EMODEL &&
	       !memcmp(&cdfs, &before, sizeof cdfs);
}

static void test_load(const struct vae_cdfs *made)
{
	struct vae_cdfs loaded = {0};
	struct vae_error error;
	ok(!vae_cdfs_load(&loaded, made->bound, made->cumulative, made->entries, &error) &&
	       same_tables(made, &loaded),
	   "made tables load to the same");

	int32_t bound[VAE_SCALES];
	size_t bytes = made->entries * sizeof *made->cumulative;
	uint16_t *c =
		malloc(bytes); /* exactly as long as it claims, so that a sanitizer sees overruns */
	memcpy(bound, made->bound, sizeof bound);
	memcpy(c, made->cumulative, bytes);
	int good = 1;
	static const int32_t bad[] = {0, -1, 4096, INT32_MIN, INT32_MAX};
	for (int i = 0; i < 5; i++) {
		bound[7] = bad[i];
		good &= refused(bound, c, made->entries);
	}
	bound[7] = made->bound[7];
	ok(good, "bounds outside 1 to 4095 are refused");
	good = refused(bound, c, made->entries - 1) && refused(bound, c, made->entries + 1) &&
	       refused(bound, c, 0);
	bound[7]++;
	good &= refused(bound, c, made->entries);
	bound[7]--;
	ok(good, "a wrong number of entries is refused");
	good = 1;
	for (int i = 0; i < VAE_SCALES; i++) {
		uint32_t at = made->first[i], last = at + 2 * (uint32_t)bound[i] + 1;
		c[at] = 1;
		good &= refused(bound, c, made->entries);
		c[at] = 0;
		c[last] = c[last - 1];
		good &= refused(bound, c, made->entries);
		c[last] = made->cumulative[last];
		c[at + 1] = (uint16_t)(c[at + 2] + 1);
		good &= refused(bound, c, made->entries);
		c[at + 1] = made->cumulative[at + 1];
	}
	ok(good, "tables that do not start at 0 or do not ascend are refused");
	free(c);
	vae_cdfs_clear(&loaded);
}

/* ---- the coder ------------------------------------------------------------------------------- */

enum { MOST = 200000 };
static uint8_t indices[MOST];
static int32_t values[MOST], decoded[MOST];

/* Draws symbols as their tables expect them; wild: one in 64 may have any value. */
static void draw(uint64_t seed, size_t count, bool wild)
{
	struct vae_random r;
	vae_random_init(&r, seed, 0, 0);
	for (size_t i = 0; i < count; i++) {
		double sigma = deviation(vae_random_below(&r, 63000) / 1000.0);
		indices[i] = vae_scale_index((float)log(sigma));
		values[i] = vae_round_symbol((float)(sigma * vae_random_normal(&r)));
		if (wild && vae_random_below(&r, 64) == 0) {
			int32_t magnitude =
				(int32_t)(vae_random_below(&r, VAE_SYMBOL_LIMIT + 1) >> vae_random_below(&r, 20));
			values[i] = vae_random_below(&r, 2) ? -magnitude : magnitude;
		}
	}
}

/* Decodes in pieces of the given size. Returns whether all symbols and the end are right. */
static bool comes_back(const struct vae_cdfs *cdfs, const uint8_t *data, size_t bytes, size_t count,
                       size_t piece)
{
	struct vae_coder_decoder decoder;
	struct vae_error error;
	if (vae_coder_start(&decoder, cdfs, data, bytes, &error))
		return false;
	memset(decoded, 0x55, count * sizeof *decoded);
	for (size_t i = 0; i < count; i += piece)
		vae_coder_decode(&decoder, indices + i, decoded + i, count - i < piece ? count - i : piece);
	return !vae_coder_finish(&decoder, &error) && !memcmp(values, decoded, count * sizeof *values);
}

static bool round_trip(const struct vae_cdfs *cdfs, size_t count, size_t piece)
{
	struct vae_buffer payload = {0};
	struct vae_error error;
	bool good = !vae_coder_encode(&payload, cdfs, indices, values, count, &error) &&
	            comes_back(cdfs, payload.data, payload.size, count, piece);
	vae_buffer_clear(&payload);
	return good;
}

static void test_round_trips(const struct vae_cdfs *cdfs)
{
	int good = 1;
	for (uint64_t seed = 0; seed < 100; seed++) {
		draw(seed, 700, true);
		good &= round_trip(cdfs, seed * 7, SIZE_MAX / 2);
	}
	ok(good, "0 to 700 random symbols come back");
	draw(1000, MOST, true);
	ok(round_trip(cdfs, MOST, MOST), "200000 symbols with escapes come back");
	ok(round_trip(cdfs, MOST, 1) && round_trip(cdfs, MOST, 7) && round_trip(cdfs, MOST, 4096),
	   "in pieces of 1, 7, 4096 too");

	good = 1;
	for (int table = 0; table < VAE_SCALES; table++) {
		int32_t b = cdfs->bound[table];
		const int32_t edges[] = {0,
		                         1,
		                         -1,
		                         b,
		                         -b,
		                         b + 1,
		                         -b - 1,
		                         b + 2,
		                         b + 3,
		                         b + 4,
		                         -b - 4,
		                         b + (1 << 15),
		                         b + (1 << 16) - 1,
		                         b + (1 << 16),
		                         -b - (1 << 16) - 1,
		                         b + (1 << 17) - 1,
		                         b + (1 << 17),
		                         b + (1 << 19) - 1,
		                         b + (1 << 19),
		                         VAE_SYMBOL_LIMIT,
		                         -VAE_SYMBOL_LIMIT,
		                         VAE_SYMBOL_LIMIT - 1};
		enum { EDGES = sizeof edges / sizeof *edges };
		for (int i = 0; i < EDGES; i++) {
			values[i] = edges[i];
			indices[i] = (uint8_t)table;
		}
		good &= round_trip(cdfs, EDGES, EDGES);
		for (int i = 0; i < EDGES; i++) {
			values[0] = edges[i];
			good &= round_trip(cdfs, 1, 1);
		}
	}
	ok(good, "the edges of every table and of the escape come back, together and alone");

	struct vae_buffer payload = {0};
	struct vae_error error;
	memset(indices, 0, sizeof indices);
	memset(values, 0, sizeof values);
	good = !vae_coder_encode(&payload, cdfs, indices, values, MOST, &error) && payload.size < 16 &&
	       comes_back(cdfs, payload.data, payload.size, MOST, MOST);
	ok(good, "200000 certain zeros take %zu bytes", payload.size);
	vae_buffer_clear(&payload);
}

static void test_size(const struct vae_cdfs *cdfs)
{
	int good = 1;
	for (int wild = 0; wild < 2; wild++) {
		struct vae_buffer payload = {0};
		struct vae_error error;
		double bytes = 0;
		draw(5, MOST, wild);
		for (int i = 0; i < MOST; i++)
			bytes += vae_coder_bits(cdfs, indices[i], values[i]) / 8;
		good &= !vae_coder_encode(&payload, cdfs, indices, values, MOST, &error) &&
		        fabs((double)payload.size - bytes) < 0.0005 * bytes + 16;
		vae_buffer_clear(&payload);
	}
	ok(good,
	   "the size is the tables' estimate within 0.05 %% + 16 bytes, with and without escapes");
}

static void test_caller(const struct vae_cdfs *cdfs)
{
	struct vae_buffer payload = {0};
	struct vae_error error;
	int good = 1;
	draw(6, 100, false);
	vae_buffer_append(&payload, "before", 6, &error);
	values[50] = VAE_SYMBOL_LIMIT + 1;
	good &= vae_coder_encode(&payload, cdfs, indices, values, 100, &error) == VAE_EARG;
	values[50] = INT32_MIN;
	good &= vae_coder_encode(&payload, cdfs, indices, values, 100, &error) == VAE_EARG;
	values[50] = 0;
	indices[50] = VAE_SCALES;
	good &= vae_coder_encode(&payload, cdfs, indices, values, 100, &error) == VAE_EARG &&
	        payload.size == 6;
	ok(good, "what cannot be coded is refused, and the buffer left alone");
	indices[50] = 0;
	good = !vae_coder_encode(&payload, cdfs, indices, values, 100, &error) &&
	       !memcmp(payload.data, "before", 6) &&
	       comes_back(cdfs, payload.data + 6, payload.size - 6, 100, 100);
	ok(good, "a payload is appended to what is there");
	vae_buffer_clear(&payload);
}

/* ---- a second encoder, from the format's description, and the frozen bytes ------------------- */

/* One step of a state: a range of first .. first + count - 1 out of 65536. */
struct step {
	int lane;
	uint32_t first, count;
};

static size_t write_steps(uint8_t *out, const struct step *step, int count)
{
	static uint16_t word[4096];
	uint64_t x[2] = {1 << 24, 1 << 24};
	int words = 0;
	for (int i = count - 1; i >= 0; i--) {
		uint64_t *s = &x[step[i].lane], q, r;
		if (*s >> 24 >= step[i].count) {
			word[words++] = (uint16_t)*s;
			*s >>= 16;
		}
		q = *s / step[i].count;
		r = *s % step[i].count;
		*s = q * 65536 + r + step[i].first;
	}
	uint8_t *p = out;
	for (int lane = 0; lane < 2; lane++)
		for (int i = 0; i < 5; i++)
			*p++ = (uint8_t)(x[lane] >> 8 * i);
	while (words-- > 0) {
		*p++ = (uint8_t)word[words];
		*p++ = (uint8_t)(word[words] >> 8);
	}
	return (size_t)(p - out);
}

static int add_digit(struct step *step, int at, int lane, uint32_t digit, int bits)
{
	step[at] = (struct step){lane, digit << (16 - bits), 1U << (16 - bits)};
	return at + 1;
}

static int add_escape(const struct vae_cdfs *cdfs, struct step *step, int at, int lane, int table,
                      int zeros)
{
	const uint16_t *c = cdfs->cumulative + cdfs->first[table];
	uint16_t first = c[2 * cdfs->bound[table] + 1];
	step[at++] = (struct step){lane, first, whole - first};
	while (zeros-- > 0)
		at = add_digit(step, at, lane, 0, 1);
	return at;
}

static int add_symbol(const struct vae_cdfs *cdfs, struct step *step, int at, int lane, int table,
                      int32_t value)
{
	int32_t bound = cdfs->bound[table], n = abs(value) - bound, length = 0;
	const uint16_t *c = cdfs->cumulative + cdfs->first[table] + value + bound;
	if (n <= 0) {
		step[at] = (struct step){lane, c[0], (uint32_t)c[1] - c[0]};
		return at + 1;
	}
	while (n >> length > 1)
		length++;
	at = add_escape(cdfs, step, at, lane, table, length);
	at = add_digit(step, at, lane, 1, 1);
	if (length > 16)
		at = add_digit(step, at, lane, (uint32_t)(n - (1 << length)) >> 16, length - 16);
	if (length > 0)
		at = add_digit(step, at, lane, (uint32_t)(n - (1 << length)) & 0xffff,
		               length < 16 ? length : 16);
	return add_digit(step, at, lane, value < 0, 1);
}

/* Loads tables made without libm: bounds 1 to 3, counts falling to the sides, escapes of 1/32. */
static int load_small(struct vae_cdfs *cdfs)
{
	struct vae_error error;
	int32_t bound[VAE_SCALES];
	uint16_t cumulative[VAE_SCALES * 8];
	size_t entries = 0;
	for (int i = 0; i < VAE_SCALES; i++) {
		bound[i] = 1 + i % 3;
		uint32_t sum = 0;
		for (int s = 0; s <= 2 * bound[i]; s++) {
			cumulative[entries++] = (uint16_t)sum;
			sum += s == bound[i] ? 63488 - 2 * (uint32_t)bound[i] * 100 * (uint32_t)(i + 1)
			                     : 100 * (uint32_t)(i + 1);
		}
		cumulative[entries++] = (uint16_t)sum;
	}
	return vae_cdfs_load(cdfs, bound, cumulative, entries, &error);
}

static void draw_small(size_t count)
{
	static const int32_t far[] = {
		4, -5, 12, -100, 70000, 300000, -VAE_SYMBOL_LIMIT, VAE_SYMBOL_LIMIT};
	uint32_t x = 1;
	for (size_t i = 0; i < count; i++) {
		x = x * 1664525 + 1013904223;
		indices[i] = (uint8_t)(x >> 26);
		int32_t b = 1 + indices[i] % 3, r = (int32_t)(x >> 16 & 1023);
		values[i] = r < 600 ? 0 : r < 1000 ? r % (2 * b + 1) - b : far[r % 8];
	}
}

static void test_format(const struct vae_cdfs *small)
{
	enum { COUNT = 500, GOLDEN_COUNT = 80 };
	static struct step step[COUNT * 24];
	static uint8_t bytes[8192 + 10];
	struct vae_buffer payload = {0};
	struct vae_error error;
	int steps = 0;
	draw_small(COUNT);
	for (int i = 0; i < COUNT; i++)
		steps = add_symbol(small, step, steps, i % 2, indices[i], values[i]);
	size_t size = write_steps(bytes, step, steps);
	ok(!vae_coder_encode(&payload, small, indices, values, COUNT, &error) && payload.size == size &&
	       !memcmp(payload.data, bytes, size),
	   "an encoder written from the format's description makes the same %zu bytes", size);

	static const uint8_t golden[] = {
		0xd9, 0xb5, 0x28, 0xba, 0x09, 0x70, 0xe0, 0x11, 0x7b, 0x76, 0x24, 0xd3, 0xf5,
		0x86, 0xab, 0xab, 0x26, 0xde, 0x91, 0x53, 0x18, 0x61, 0xe0, 0x2b, 0xfc, 0x7f,
		0x73, 0x25, 0x48, 0xe7, 0xc0, 0x6a, 0xa4, 0x3b, 0xdf, 0x13, 0xf4, 0x09,
	};
	payload.size = 0;
	draw_small(GOLDEN_COUNT);
	if (!ok(!vae_coder_encode(&payload, small, indices, values, GOLDEN_COUNT, &error) &&
	            payload.size == sizeof golden && !memcmp(payload.data, golden, sizeof golden),
	        "%d symbols have their frozen bytes", GOLDEN_COUNT))
		for (size_t i = 0; i < payload.size; i++)
			printf("%s0x%02x,%s", i % 16 ? " " : "# ", payload.data[i],
			       i % 16 == 15 || i + 1 == payload.size ? "\n" : "");
	ok(comes_back(small, golden, sizeof golden, GOLDEN_COUNT, GOLDEN_COUNT),
	   "and the frozen bytes those symbols");

	uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */
	payload.size = 0;
	draw_small(20000);
	int good = !vae_coder_encode(&payload, small, indices, values, 20000, &error);
	for (size_t i = 0; i < payload.size; i++)
		hash = (hash ^ payload.data[i]) * 0x100000001b3;
	ok(good && hash == 0xb5b75ab34216cde9, "20000 symbols have their frozen hash (0x%llx)",
	   (unsigned long long)hash);
	vae_buffer_clear(&payload);
}

/* ---- hostile payloads ------------------------------------------------------------------------ */

/* Decodes any bytes from a block of exactly their size. */
static bool passes(const struct vae_cdfs *cdfs, const uint8_t *data, size_t bytes, size_t count,
                   bool *zeroed)
{
	struct vae_coder_decoder decoder;
	struct vae_error error;
	uint8_t *exact = malloc(bytes ? bytes : 1);
	memcpy(exact, data, bytes);
	bool good = !vae_coder_start(&decoder, cdfs, exact, bytes, &error);
	if (good) {
		vae_coder_decode(&decoder, indices, decoded, count / 2);
		bool failed = decoder.failed;
		vae_coder_decode(&decoder, indices + count / 2, decoded + count / 2, count - count / 2);
		for (size_t i = 0; i < count; i++)
			*zeroed &=
				labs(decoded[i]) <= VAE_SYMBOL_LIMIT && !(failed && i >= count / 2 && decoded[i]);
		*zeroed &= !failed || decoder.failed;
		good = !vae_coder_finish(&decoder, &error);
	}
	free(exact);
	return good;
}

static void test_escape_limits(const struct vae_cdfs *small)
{
	struct step step[64]; /* 60 zeros before and after */
	uint8_t bytes[256];
	bool zeroed = true;
	indices[0] = 2; /* bound 3 */
	values[0] = VAE_SYMBOL_LIMIT;
	for (int over = 0; over < 2; over++) {
		int steps = add_escape(small, step, 0, 0, 2, 19);
		uint32_t n = VAE_SYMBOL_LIMIT - 3 + (uint32_t)over;
		steps = add_digit(step, steps, 0, 1, 1);
		steps = add_digit(step, steps, 0, n >> 16 & 7, 3);
		steps = add_digit(step, steps, 0, n & 0xffff, 16);
		steps = add_digit(step, steps, 0, 0, 1);
		size_t size = write_steps(bytes, step, steps);
		if (over)
			ok(!passes(small, bytes, size, 1, &zeroed) && decoded[0] == 0,
			   "an escape one over the limit is refused");
		else
			ok(comes_back(small, bytes, size, 1, 1), "an escape to the limit is taken");
	}
	int refused_all = 1;
	for (int zeros = 20; zeros <= 60; zeros++) {
		int steps = add_digit(step, add_escape(small, step, 0, 0, 2, zeros), 0, 1, 1);
		size_t size = write_steps(bytes, step, steps);
		refused_all &= !passes(small, bytes, size, 1, &zeroed) && decoded[0] == 0;
	}
	ok(refused_all, "longer escapes are refused");
}

static bool is_form_of(const struct vae_cdfs *cdfs, const struct vae_buffer *payload,
                       const int32_t *symbols, size_t count)
{
	struct vae_buffer again = {0};
	struct vae_error error;
	bool same = !vae_coder_encode(&again, cdfs, indices, symbols, count, &error) &&
	            again.size == payload->size && !memcmp(again.data, payload->data, again.size);
	vae_buffer_clear(&again);
	return same;
}

static void test_damage(const struct vae_cdfs *cdfs)
{
	enum { COUNT = 400 };
	struct vae_buffer payload = {0};
	struct vae_error error;
	bool zeroed = true, none = true;
	draw(77, COUNT, true);
	vae_coder_encode(&payload, cdfs, indices, values, COUNT, &error);
	for (size_t i = 0; i < payload.size; i++)
		none &= !passes(cdfs, payload.data, i, COUNT, &zeroed);
	ok(none, "every truncation of a payload is seen");
	int seen = 0, other = 0;
	for (size_t i = 0; i < 8 * payload.size; i++) {
		payload.data[i / 8] ^= (uint8_t)(1 << i % 8);
		if (passes(cdfs, payload.data, payload.size, COUNT, &zeroed))
			other += is_form_of(cdfs, &payload, decoded, COUNT);
		else
			seen++;
		payload.data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	ok(seen + other == 8 * (int)payload.size && other < seen / 10,
	   "%d flipped bits are seen; the other %d make a payload of other symbols", seen, other);
	ok(!passes(cdfs, payload.data, payload.size, COUNT - 1, &zeroed), "symbols left over are seen");
	vae_buffer_append(&payload, "\0\0", 2, &error);
	ok(!passes(cdfs, payload.data, payload.size, COUNT, &zeroed), "bytes left over are seen");
	vae_buffer_clear(&payload);

	struct vae_random r;
	vae_random_init(&r, 9, 9, 9);
	none = true;
	for (int round = 0; round < 3000; round++) {
		uint8_t junk[600];
		size_t bytes = vae_random_below(&r, sizeof junk + 1);
		uint32_t mask = vae_random_below(&r, 4) ? 255 : vae_random_below(&r, 256);
		for (size_t i = 0; i < bytes; i++)
			junk[i] = (uint8_t)(vae_random_u64(&r) & mask);
		if (round & 1)
			memset(indices, (int)vae_random_below(&r, VAE_SCALES), COUNT);
		none &= !passes(cdfs, junk, bytes, COUNT, &zeroed);
	}
	ok(none, "3000 payloads of noise are refused");
	ok(zeroed, "symbols of damaged payloads stay in range, and are 0 after a failure");
}

/* Compares drawn symbols with the counts by chi-square, without the escape; neighbours with few
 * expected symbols are merged. The mean is the number of classes less 1, the deviation the root of
 * twice that. */
static void test_draw(const struct vae_cdfs *cdfs)
{
	enum { COUNT = 200000 };
	static uint8_t index[COUNT];
	static int32_t value[COUNT];
	int wrong = 0, outside = 0;
	for (int table = 0; table < VAE_SCALES; table += 7) {
		int bound = cdfs->bound[table], classes = 0;
		struct vae_draw draw = {.cdfs = cdfs};
		double sum = 0, expected = 0, square = 0,
			   total = whole - count_of(cdfs, table, 2 * bound + 1);
		unsigned *seen = calloc(2 * (size_t)bound + 1, sizeof *seen), met = 0;
		vae_random_init(&draw.random, 3, (uint64_t)table, 0);
		memset(index, table, COUNT);
		vae_draw_symbols(&draw, index, value, COUNT, NULL);
		for (int i = 0; i < COUNT; i++)
			if (value[i] < -bound || value[i] > bound)
				outside++;
			else
				seen[value[i] + bound]++;
		for (int s = 0; s <= 2 * bound; s++) {
			expected += (double)COUNT * count_of(cdfs, table, s) / total;
			met += seen[s];
			if (expected < 20) /* the rest does not count */
				continue;
			sum += (met - expected) * (met - expected) / expected;
			classes++;
			expected = met = 0;
		}
		square = (sum - (classes - 1)) / sqrt(2.0 * (classes > 1 ? classes - 1 : 1));
		wrong += !(fabs(square) < 5);
		free(seen);
	}
	ok(!outside, "drawn symbols are no escapes");
	ok(!wrong, "drawn symbols are as frequent as their counts say");
}

/* Returns the bits of counted symbols, without escapes, by one table. */
static double seen_bits(const struct vae_cdfs *cdfs, const struct vae_cdfs_seen *seen, int table)
{
	double bits = 0;
	for (int r = 0; r <= cdfs->bound[table]; r++)
		bits += (double)seen->count[table][r] *
		        (VAE_SCALE_BITS - log2(count_of(cdfs, table, cdfs->bound[table] + r)));
	return bits;
}

/* Tables of counted symbols: without counts a table is the Gaussian's; otherwise it has their
 * frequencies, both signs alike. */
static void test_seen(const struct vae_cdfs *gaussian)
{
	enum { MANY = 9, FEW = 40 };
	static const int32_t value[] = {0, 0, 0, 0, 0, 0, 0, 1, -1, 1, 3, -4};
	struct vae_cdfs made = {0};
	struct vae_error error;
	struct vae_cdfs_seen *seen = calloc(1, sizeof *seen);
	const uint8_t index[12] = {MANY, MANY, MANY, MANY, MANY, MANY,
	                           MANY, MANY, MANY, MANY, MANY, MANY};
	for (int i = 0; i < 10000; i++)
		vae_cdfs_see(seen, index, value, 12);
	vae_cdfs_see(seen, (const uint8_t[]){FEW, FEW, FEW},
	             (const int32_t[]){VAE_SYMBOL_LIMIT, -VAE_BOUND_LIMIT - 1, VAE_BOUND_LIMIT}, 3);
	ok(seen->count[MANY][1] == 30000 && seen->count[MANY][4] == 10000 &&
	       seen->count[FEW][VAE_BOUND_LIMIT + 1] == 2 && seen->count[FEW][VAE_BOUND_LIMIT] == 1,
	   "symbols are counted by magnitude");
	if (!ok(!vae_cdfs_make(&made, seen, &error), "tables are made of them"))
		return;
	int others = 0, bound = made.bound[MANY];
	for (int i = 0; i < VAE_SCALES; i++)
		others += i != MANY && i != FEW &&
		          (made.bound[i] != gaussian->bound[i] ||
		           count_of(&made, i, 0) != count_of(gaussian, i, 0) ||
		           count_of(&made, i, made.bound[i]) != count_of(gaussian, i, gaussian->bound[i]));
	ok(!others, "without symbols a table is the Gaussian's");
	bool frequent = bound >= 4, even = true;
	for (int r = 0; r <= 4 && frequent; r++) {
		double part = (double)seen->count[MANY][r] / 120000 / (r ? 2 : 1),
			   count = count_of(&made, MANY, bound + r);
		frequent = fabs(count / whole - part) < 0.003;
		even &= count_of(&made, MANY, bound + r) == count_of(&made, MANY, bound - r) ||
		        abs((int)count - (int)count_of(&made, MANY, bound - r)) == 1;
	}
	ok(frequent && even, "with many it has their frequencies");
	ok(seen_bits(&made, seen, MANY) < 0.95 * seen_bits(gaussian, seen, MANY),
	   "and codes them in fewer bits");
	vae_cdfs_clear(&made);
	free(seen);
}

int main(void)
{
	struct vae_cdfs cdfs = {0}, small = {0};
	struct vae_error error;
	test_rounding();
	if (!ok(!vae_cdfs_make(&cdfs, NULL, &error), "tables are made") ||
	    !ok(!load_small(&small), "small tables are loaded"))
		return tap_done();
	test_made_tables(&cdfs);
	test_cost(&cdfs);
	test_seen(&cdfs);
	test_load(&cdfs);
	test_round_trips(&cdfs);
	test_size(&cdfs);
	test_draw(&cdfs);
	test_caller(&cdfs);
	test_format(&small);
	test_escape_limits(&small);
	test_damage(&cdfs);
	vae_cdfs_clear(&cdfs);
	vae_cdfs_clear(&small);
	return tap_done();
}
