#include "nn/arch.h"
#include "base/text.h"
#include "base/round.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct key {
	const char *name;
	size_t offset;
	int low, high, fallback, multiple; /* multiple: the value must be divisible by it */
};
#define KEY(name, field, low, high, fallback, multiple)                       \
	{                                                                         \
		name, offsetof(struct vae_arch, field), low, high, fallback, multiple \
	}

static const struct key photo_keys[] = {
	KEY("enc", enc, 16, 1024, 320, 1), KEY("enc_blocks", enc_blocks, 1, VAE_MAX_BLOCKS, 4, 1),
	KEY("y", y, 2, 768, 320, 2),       KEY("hyper", hyper, 16, 1024, 160, 1),
	KEY("z", z, 1, VAE_MAX_Z, 32, 1),  KEY("steps", steps, 2, 4, 2, 2),
	KEY("ctx", ctx, 16, 1024, 96, 1),  KEY("ctx_blocks", ctx_blocks, 1, VAE_MAX_BLOCKS, 1, 1),
	KEY("dec", dec, 16, 1024, 160, 1), KEY("dec_blocks", dec_blocks, 1, VAE_MAX_BLOCKS, 2, 1),
	KEY("grid", grid, 48, 256, 64, 1), KEY("grid_layers", grid_layers, 1, VAE_MAX_BLOCKS, 2, 1),
	KEY("knots", knots, 2, 64, 12, 1), {0}};
static const struct key mlp_keys[] = {KEY("width", width, 1, 256, 28, 1),
                                      KEY("height", height, 1, 256, 28, 1),
                                      KEY("hidden1", hidden1, 1, 4096, 128, 1),
                                      KEY("hidden2", hidden2, 1, 4096, 64, 1),
                                      KEY("z", y, 1, 1024, 20, 1),
                                      KEY("knots", knots, 2, 64, 8, 1),
                                      {0}};

static int *field_of(const struct vae_arch *arch, const struct key *key)
{
	return (int *)((char *)arch + key->offset);
}
static const struct key *keys_of(const struct vae_arch *arch)
{
	return arch->kind == VAE_ARCH_PHOTO ? photo_keys : mlp_keys;
}

static int parse_lambda(struct vae_arch *arch, const char *value, struct vae_error *error)
{
	char *end;
	double low = vae_text_real(value, &end), high = *end == ':' ? vae_text_real(end + 1, &end) : 0;
	if (*end || !(low >= 1e-6) || !(high > low) || !(high <= 100))
		return vae_fail(error, VAE_EARG,
		                "architecture: lambda=%s is not MIN:MAX between 0.000001 and 100", value);
	arch->lambda_min = low;
	arch->lambda_max = high;
	return 0;
}

static int parse_arith(struct vae_arch *arch, const char *value, struct vae_error *error)
{
	bool integer = !strcmp(value, "int16");
	if (!integer && strcmp(value, "float32") != 0)
		return vae_fail(error, VAE_EARG, "architecture: arith=%s is neither float32 nor int16",
		                value);
	arch->arith = integer ? VAE_ARITH_INT16 : VAE_ARITH_FLOAT32;
	return 0;
}

static int parse_word(struct vae_arch *arch, char *word, struct vae_error *error)
{
	char *value = strchr(word, '='), *end;
	if (!value)
		return vae_fail(error, VAE_EARG, "architecture: '%s' is not KEY=VALUE", word);
	*value++ = 0;
	if (arch->kind == VAE_ARCH_PHOTO && !strcmp(word, "lambda"))
		return parse_lambda(arch, value, error);
	if (arch->kind == VAE_ARCH_PHOTO && !strcmp(word, "arith"))
		return parse_arith(arch, value, error);
	for (const struct key *key = keys_of(arch); key->name; key++)
		if (!strcmp(key->name, word)) {
			long number = strtol(value, &end, 10);
			if (end == value || *end || number < key->low || number > key->high ||
			    number % key->multiple)
				return vae_fail(error, VAE_EARG, "architecture: %s=%s is outside %d to %d%s", word,
				                value, key->low, key->high, key->multiple > 1 ? " or odd" : "");
			*field_of(arch, key) = (int)number;
			return 0;
		}
	return vae_fail(error, VAE_EARG, "architecture: no key '%s'", word);
}

/* Reads KEY=VALUE words; on failure arch is as it was. */
static int parse_words(struct vae_arch *arch, char *text, struct vae_error *error)
{
	struct vae_arch a = *arch;
	char *rest;
	for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		if (parse_word(&a, word, error))
			return VAE_EARG;
	if (a.kind == VAE_ARCH_PHOTO && a.y % a.steps)
		return vae_fail(error, VAE_EARG, "architecture: y=%d is not a multiple of steps=%d", a.y,
		                a.steps);
	*arch = a;
	return 0;
}

/* Copies a line for strtok_r, which writes into it. */
static int copy_line(char copy[VAE_ARCH_TEXT], const char *text, struct vae_error *error)
{
	if (strlen(text) >= VAE_ARCH_TEXT)
		return vae_fail(error, VAE_EARG, "architecture: longer than %d bytes", VAE_ARCH_TEXT - 1);
	strcpy(copy, text);
	return 0;
}

int vae_arch_change(struct vae_arch *arch, const char *text, struct vae_error *error)
{
	char copy[VAE_ARCH_TEXT];
	return copy_line(copy, text, error) ? VAE_EARG : parse_words(arch, copy, error);
}

int vae_arch_parse(struct vae_arch *arch, const char *text, struct vae_error *error)
{
	char copy[VAE_ARCH_TEXT], *rest;
	if (copy_line(copy, text, error))
		return VAE_EARG;
	char *word = strtok_r(copy, " ", &rest);
	struct vae_arch a = {.lambda_min = 0.0004, .lambda_max = 0.6};
	if (word && !strcmp(word, "photo"))
		a.kind = VAE_ARCH_PHOTO;
	else if (word && !strcmp(word, "mlp"))
		a.kind = VAE_ARCH_MLP;
	else
		return vae_fail(error, VAE_EARG, "architecture: '%s' is neither photo nor mlp",
		                word ? word : "");
	for (const struct key *key = keys_of(&a); key->name; key++)
		*field_of(&a, key) = key->fallback;
	if (parse_words(&a, rest, error))
		return VAE_EARG;
	*arch = a;
	return 0;
}

void vae_arch_format(const struct vae_arch *arch, char text[VAE_ARCH_TEXT])
{
	int n = snprintf(text, VAE_ARCH_TEXT, "%s", arch->kind == VAE_ARCH_PHOTO ? "photo" : "mlp");
	for (const struct key *key = keys_of(arch); key->name; key++)
		n += snprintf(text + n, (size_t)(VAE_ARCH_TEXT - n), " %s=%d", key->name,
		              *field_of(arch, key));
	if (arch->kind == VAE_ARCH_PHOTO)
		vae_text(text + n, (size_t)(VAE_ARCH_TEXT - n), " lambda=%.9g:%.9g%s", arch->lambda_min,
		         arch->lambda_max, arch->arith == VAE_ARITH_INT16 ? " arith=int16" : "");
}

double vae_arch_lambda(const struct vae_arch *arch, uint16_t quality)
{
	return arch->lambda_min *
	       pow(arch->lambda_max / arch->lambda_min, quality / (double)VAE_QUALITY_ONE);
}

struct vae_position vae_position_of(int knots, uint16_t quality)
{
	uint32_t scaled = (uint32_t)quality * (uint32_t)(knots - 1), index = scaled / VAE_QUALITY_ONE;
	if (index > (uint32_t)knots - 2)
		index = (uint32_t)knots - 2; /* quality 1.0 is the end of the last interval */
	return (struct vae_position){(int)index, (float)(scaled - index * VAE_QUALITY_ONE) /
	                                             (float)VAE_QUALITY_ONE};
}

void vae_position_lerp(float *out, const float *table, int channels, struct vae_position at)
{
	const float *low = table + (size_t)at.index * (size_t)channels, *high = low + channels;
	for (int c = 0; c < channels; c++) {
		float difference = high[c] - low[c];
		out[c] = __builtin_fmaf(at.fraction, difference, low[c]);
	}
}

void vae_position_power(float *v, int channels)
{
	static const float series[] = {0x1.430912p-13f,
	                               0x1.5d87fep-10f,
	                               0x1.3b2ab6p-7f,
	                               0x1.c6b08ep-5f,
	                               0x1.ebfbep-3f,
	                               0x1.62e43p-1f,
	                               1}; /* (ln 2)^k / k!, k = 6 to 0 */
	for (int c = 0; c < channels; c++) {
		float t = v[c] > -30 ? v[c] : -30, sum = series[0], whole;
		t = t < 30 ? t : 30;
		float n = vae_round_half_even(t), rest = t - n;
		for (int k = 1; k < 7; k++)
			sum = __builtin_fmaf(sum, rest, series[k]);
		memcpy(&whole, &(uint32_t){(uint32_t)((int32_t)n + 127) << 23}, sizeof whole);
		v[c] = sum * whole;
	}
}
