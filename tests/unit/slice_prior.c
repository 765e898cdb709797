/* slice_prior.c - the prior of one slice: order, both directions, both methods, hostile payloads
 * and weights. */
#include "base/cpu.h"
#include "prior/order.h"
#include "prior/payload.h"
#include "tap.h"
#include "toy.h"

static struct vae_error error;

static struct vae_prior prior_of(const struct vae_model *m, uint16_t quality)
{
	return (struct vae_prior){.nets = m->nets,
	                          .weights = &m->weights,
	                          .at = vae_position_of(m->nets->arch.knots, quality)};
}

static float *random_y(size_t n, float deviation)
{
	struct vae_random r;
	float *y = malloc(n * sizeof *y);
	vae_random_init(&r, 3, n, 1);
	for (size_t i = 0; i < n; i++)
		y[i] = (float)vae_random_normal(&r) * deviation;
	return y;
}

/* Places are a permutation, z comes first, and each step codes what order.h says, cell by cell,
 * channels ascending. */
static void test_order(const struct vae_model *m)
{
	struct vae_symbols s = {0};
	vae_symbols_fit(&s, m->nets, 5, 7, &error);
	size_t part = s.channels / s.steps, expected = s.z_count;
	int steps = m->nets->arch.steps;
	bool right = s.z_count == 2 * 2 * 4 && s.count == s.z_count + 5 * 7 * 8;
	for (int step = 0; step < steps; step++)
		for (size_t cell = 0; cell < 35; cell++)
			for (size_t c = 0; c < part; c++)
				right &= vae_symbols_place(
							 &s, cell,
							 vae_order_first_channel(step, steps, cell / 7, cell % 7, s.channels) +
								 c) == expected++;
	ok(right && expected == s.count, "coding order: z, then %d steps", steps);
	vae_symbols_clear(&s);
}

static int unpack(struct vae_symbols *s, const struct vae_model *m, enum vae_method method,
                  const uint8_t *data, size_t bytes, float *y, size_t stride)
{
	struct vae_prior prior = prior_of(m, 20000);
	struct vae_payload payload;
	int rc = vae_payload_start(&payload, s, &m->cdfs, method, data, bytes, &error);
	if (rc)
		return rc;
	rc = vae_prior_decode(s, &prior, vae_payload_take, &payload, y, stride, &error);
	if (!rc)
		rc = vae_payload_finish(&payload, &error);
	vae_payload_clear(&payload);
	return rc;
}

/* y^ is what the encoder's own symbols say; at most half a step (of mlp: 1 / gain) from y. */
static bool same_y(const struct vae_symbols *s, const float *quantised, const float *y,
                   size_t stride, bool photo)
{
	for (size_t cell = 0; cell < s->rows * s->columns; cell++)
		for (size_t c = 0; c < s->channels; c++) {
			size_t place = vae_symbols_place(s, cell, c),
				   at = cell / s->columns * stride + cell % s->columns * s->channels + c;
			float made = (float)s->value[place] + s->mean[place];
			if ((photo && made != quantised[at]) ||
			    !(fabsf(quantised[at] - y[at]) <
			      0.75f + 1e-6f * (fabsf(y[at]) + fabsf(s->mean[place]))))
				return false;
		}
	return true;
}

static void test_round_trip(const struct vae_model *m, size_t rows, size_t columns, float deviation,
                            int width)
{
	bool photo = m->nets->arch.kind == VAE_ARCH_PHOTO;
	struct vae_prior prior = prior_of(m, 20000);
	struct vae_symbols there = {.keep = VAE_KEEP_ANSWERS}, back = {.keep = VAE_KEEP_ANSWERS};
	size_t stride = columns * (size_t)m->nets->arch.y + (photo ? 5 : 0);
	float *y = random_y(rows * stride, deviation), *z = malloc(rows * stride * sizeof *z);
	vae_symbols_fit(&there, m->nets, rows, columns, &error);
	int rc = vae_prior_quantise(&there, &prior, y, stride, &error);
	ok(rc == 0, "%zu x %zu, deviation %g: analysed", rows, columns, deviation);
	for (int method = VAE_METHOD_RANGE; method <= VAE_METHOD_ZSTD; method++) {
		struct vae_buffer buffer = {0};
		rc = vae_payload_write(&buffer, &there, &m->cdfs, (enum vae_method)method, &error);
		memset(z, 0xff, rows * stride * sizeof *z);
		vae_symbols_fit(&back, m->nets, rows, columns, &error);
		if (!rc)
			rc = unpack(&back, m, (enum vae_method)method, buffer.data, buffer.size, z, stride);
		ok(!rc && !memcmp(there.value, back.value, there.count * sizeof *there.value) &&
		       !memcmp(there.index, back.index, there.count) &&
		       !memcmp(there.mean, back.mean, there.count * sizeof *there.mean) &&
		       !memcmp(there.log_scale, back.log_scale, there.count * sizeof *there.log_scale),
		   "method %d: both directions agree on every symbol and its prediction", method);
		ok(same_y(&there, z, y, stride, photo), "method %d: y^ is symbol + mean, near y", method);
		if (method == VAE_METHOD_ZSTD)
			ok(buffer.data[0] == width && buffer.size == 1 + there.count * (size_t)width,
			   "planes of %d bytes a symbol", width);
		vae_symbols_clear(&back);
		vae_buffer_clear(&buffer);
	}
	vae_symbols_clear(&there);
	free(y);
	free(z);
}

/* Chosen symbols: each is rdo.h's choice for y and the means that follow from the symbols chosen
 * before it; z is rounded as always; the decoder, which knows nothing of choices, gets the same. */
static void test_choice(const struct vae_model *m)
{
	struct vae_prior prior = prior_of(m, 20000);
	struct vae_symbols plain = {0}, chosen = {.keep = VAE_KEEP_ANSWERS},
					   back = {.keep = VAE_KEEP_ANSWERS};
	struct vae_choice choice = {0};
	struct vae_buffer buffer = {0};
	size_t rows = 9, columns = 6, channels = 8, other = 0, wrong = 0;
	float *y = random_y(rows * columns * channels, 1.5f),
		  *z = malloc(rows * columns * channels * sizeof *z);
	float sensitivity[8];
	for (size_t c = 0; c < channels; c++)
		sensitivity[c] = 0.05f * (float)(c + 1);
	vae_choice_init(&choice, &m->cdfs, sensitivity, channels, 0, 1, &error);
	vae_symbols_fit(&plain, m->nets, rows, columns, &error);
	vae_symbols_fit(&chosen, m->nets, rows, columns, &error);
	vae_symbols_fit(&back, m->nets, rows, columns, &error);
	vae_prior_quantise(&plain, &prior, y, columns * channels, &error);
	prior.choice = &choice;
	ok(!vae_prior_quantise(&chosen, &prior, y, columns * channels, &error), "analysed");
	for (size_t cell = 0; cell < rows * columns; cell++)
		for (size_t c = 0; c < channels; c++) {
			size_t at = vae_symbols_place(&chosen, cell, c);
			int32_t nearest = vae_round_symbol(y[cell * channels + c] - chosen.mean[at]),
					value = nearest;
			vae_rdo(&choice, c, &chosen.index[at], &y[cell * channels + c], &chosen.mean[at],
			        &value, 1);
			wrong += chosen.value[at] != value;
			other += value != nearest;
		}
	ok(!wrong && other && !memcmp(plain.value, chosen.value, plain.z_count * sizeof *plain.value),
	   "%zu symbols are not the nearest", other);
	vae_payload_write(&buffer, &chosen, &m->cdfs, VAE_METHOD_RANGE, &error);
	int rc = unpack(&back, m, VAE_METHOD_RANGE, buffer.data, buffer.size, z, columns * channels);
	ok(!rc && !memcmp(chosen.value, back.value, chosen.count * sizeof *chosen.value) &&
	       !memcmp(chosen.mean, back.mean, chosen.count * sizeof *chosen.mean),
	   "and are decoded");
	vae_choice_clear(&choice);
	vae_symbols_clear(&plain);
	vae_symbols_clear(&chosen);
	vae_symbols_clear(&back);
	vae_buffer_clear(&buffer);
	free(y);
	free(z);
}

/* The plane of channel c of y follows z's planes, cell by cell. */
static void test_planes(const struct vae_model *m)
{
	struct vae_prior prior = prior_of(m, 0);
	struct vae_symbols s = {0};
	struct vae_buffer buffer = {0};
	float *y = random_y(3 * 6 * 8, 5);
	bool right = true;
	vae_symbols_fit(&s, m->nets, 3, 6, &error);
	vae_prior_quantise(&s, &prior, y, 6 * 8, &error);
	vae_payload_write(&buffer, &s, &m->cdfs, VAE_METHOD_ZSTD, &error);
	const int8_t *next = (const int8_t *)buffer.data + 1;
	for (size_t c = 0; c < 4; c++)
		for (size_t cell = 0; cell < 2; cell++)
			right &= *next++ == s.value[cell * 4 + c];
	for (size_t c = 0; c < 8; c++)
		for (size_t cell = 0; cell < 18; cell++)
			right &= *next++ == s.value[vae_symbols_place(&s, cell, c)];
	ok(right, "planes: z then y, channel by channel, cell by cell");
	vae_symbols_clear(&s);
	vae_buffer_clear(&buffer);
	free(y);
}

/* Every truncation fails; flips fail or give other numbers; symbols past the limit are refused. */
static void test_damage(const struct vae_model *m, enum vae_method method)
{
	struct vae_prior prior = prior_of(m, 20000);
	struct vae_symbols s = {0};
	struct vae_buffer buffer = {0};
	float *y = random_y(4 * 5 * 8, 4), *z = malloc(4 * 5 * 8 * sizeof *z);
	size_t cut_ok = 0, flips_bad = 0;
	vae_symbols_fit(&s, m->nets, 4, 5, &error);
	vae_prior_quantise(&s, &prior, y, 40, &error);
	vae_payload_write(&buffer, &s, &m->cdfs, method, &error);
	for (size_t n = 0; n < buffer.size; n++)
		cut_ok += unpack(&s, m, method, buffer.data, n, z, 40) == VAE_EDATA;
	ok(cut_ok == buffer.size, "method %d: all %zu truncations are refused", method, buffer.size);
	vae_buffer_append(&buffer, "", 1, &error);
	ok(unpack(&s, m, method, buffer.data, buffer.size, z, 40) == VAE_EDATA,
	   "method %d: a byte too many is refused", method);
	buffer.size--;
	for (size_t bit = 0; bit < 8 * buffer.size; bit++) {
		buffer.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		int rc = unpack(&s, m, method, buffer.data, buffer.size, z, 40);
		flips_bad += rc != 0 && rc != VAE_EDATA;
		buffer.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	ok(!flips_bad, "method %d: a flipped bit is refused or changes symbols", method);
	if (method == VAE_METHOD_ZSTD) {
		uint8_t *wide = calloc(1, 1 + 4 * s.count);
		wide[0] = 4;
		ok(unpack(&s, m, method, wide, 1 + 4 * s.count, z, 40) == 0, "4 bytes a symbol");
		wide[3] = 0x10;
		ok(unpack(&s, m, method, wide, 1 + 4 * s.count, z, 40) == VAE_EDATA,
		   "a symbol past the limit is refused");
		free(wide);
	}
	vae_symbols_clear(&s);
	vae_buffer_clear(&buffer);
	free(y);
	free(z);
}

/* Finite weights whose products are not finite: an error, not a crash, in both directions. */
static void test_hostile(const char *name, const char *text)
{
	struct vae_model *m = toy_new(text);
	const struct vae_param *p = &m->nets->params.list[vae_param_find(&m->nets->params, name)];
	for (size_t i = 0; i < p->rows * p->columns; i++)
		m->weights.value[p->offset + i] = m->nets->arch.kind == VAE_ARCH_MLP ? 0
		                                  : i & 1                            ? 3e38f
		                                                                     : -3e38f;
	vae_weights_pack(&m->weights, &m->nets->params);
	struct vae_prior prior = prior_of(m, 30000);
	struct vae_symbols s = {0};
	size_t side = m->nets->arch.kind == VAE_ARCH_MLP ? 1 : 9, n = side * side * 8;
	float *y = random_y(n, 5);
	uint8_t *zeros = calloc(1, 1 + n + 64 * 4);
	zeros[0] = 1;
	vae_symbols_fit(&s, m->nets, side, side, &error);
	int there = vae_prior_quantise(&s, &prior, y, side * 8, &error);
	int back = unpack(&s, m, VAE_METHOD_ZSTD, zeros, 1 + s.count, y, side * 8);
	/* the encoder may overflow where all-zero symbols do not, and the reverse */
	ok((there == 0 || there == VAE_EDATA) && (back == 0 || back == VAE_EDATA) && (there || back),
	   "%s overflows: refused (%d, %d)", name, there, back);
	vae_symbols_clear(&s);
	free(zeros);
	free(y);
	toy_free(m);
}

int main(void)
{
	struct vae_model *photo = toy_new(TOY_PHOTO), *four = toy_new(TOY_STEPS),
					 *mlp = toy_new(TOY_MLP);
	uint64_t state = vae_fp_enter();
	if (!ok(photo && four && mlp, "models"))
		return tap_done();
	test_order(photo);
	test_order(four);
	test_round_trip(four, 7, 5, 3, 1);
	test_damage(four, VAE_METHOD_RANGE);
	test_round_trip(photo, 1, 1, 3, 1);
	test_round_trip(photo, 64, 64, 3, 2);
	test_round_trip(photo, 1, 64, 0.2f, 1);
	test_round_trip(photo, 6, 13, 1000, 2);
	test_round_trip(photo, 7, 3, 20000, 4);
	test_round_trip(mlp, 1, 1, 3, 1);
	test_choice(photo);
	test_choice(four);
	test_planes(photo);
	test_damage(photo, VAE_METHOD_RANGE);
	test_damage(photo, VAE_METHOD_ZSTD);
	test_hostile("prior.hs.head.weight", TOY_PHOTO);
	test_hostile("prior.hs.up0.weight", TOY_PHOTO);
	test_hostile("prior.z.mean", TOY_PHOTO);
	test_hostile("prior.ctx.head.weight", TOY_PHOTO);
	test_hostile("prior.ctx3.head.weight", TOY_STEPS);
	test_hostile("prior.hs.head.unit", TOY_INT16);
	test_hostile("prior.gain", TOY_MLP);
	toy_free(photo);
	toy_free(four);
	toy_free(mlp);
	vae_fp_leave(state);
	return tap_done();
}
