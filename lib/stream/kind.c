#include "vae.h"

/* Returns whether the input starts as a model: the length of its header, 64 bits of which the upper
 * 40 are 0 (model.h bounds it), then the header's brace. No picture, latents or codes have five NUL
 * bytes there. */
static bool is_model(const unsigned char *start)
{
	return !start[3] && !start[4] && !start[5] && !start[6] && !start[7] && start[8] == '{';
}

/* Reads nine bytes and puts them back one by one, so that this works on pipes; glibc and the BSDs
 * can put back any number. */
static int peek(unsigned char start[9], FILE *file)
{
	int n = 0, c;
	while (n < 9 && (c = getc(file)) != EOF)
		start[n++] = (unsigned char)c;
	for (int i = n; i--;)
		ungetc(start[i], file);
	return n;
}

/* Returns the kind of the next input. 'P' starts a picture and one kind of skippable zstd frame,
 * 'V' latents and another kind: the second byte decides. The content of codes begins with VAEC, but
 * without zstd's frames no program reads it. */
enum vae_kind vae_kind_peek(FILE *file)
{
	unsigned char start[9] = {0};
	int n = peek(start, file);
	if (n == 0)
		return ferror(file) ? VAE_KIND_UNKNOWN : VAE_KIND_END;
	if (n == 9 && is_model(start))
		return VAE_KIND_MODEL;
	if (start[0] == 'P' && start[1] >= '1' && start[1] <= '7')
		return VAE_KIND_IMAGE;
	if (start[0] == 'V' && start[1] == 'A' && (n < 4 || start[3] != 'C'))
		return VAE_KIND_LATENTS;
	if ((start[0] == 0x28 && start[1] == 0xb5) ||
	    (start[0] >= 0x50 && start[0] <= 0x5f && start[1] == 0x2a))
		return VAE_KIND_CODES;
	return VAE_KIND_UNKNOWN;
}
