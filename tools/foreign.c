#include "foreign.h"

#include <string.h>

static const struct {
	size_t offset, bytes;
	const char *magic; /* [bytes] from offset on */
	const char *what;
} known[] = {
	{0, 4, "VAEC", "these are codes that zstd has unpacked; give the .lat file itself"},
	{0, 4, "\x89PNG",
     "this is PNG; pngtopnm makes an image of it, and pngtopam -alphapam one with its "
     "transparency"},
	{0, 3, "\xff\xd8\xff", "this is JPEG; jpegtopnm makes an image of it"},
	{8, 4, "WEBP", "this is WebP; dwebp -pam FILE -o - makes an image of it"},
	{0, 4, "GIF8", "this is GIF; giftopnm makes an image of it"},
	/* before TIFF, whose signature it shares */
	{8, 2, "CR", "this is a camera's raw file; dcraw -c FILE makes an image of it"},
	{0, 4, "II*\0", "this is TIFF; tifftopnm, or for a raw file dcraw -c, makes an image of it"},
	{0, 4, "MM\0*", "this is TIFF; tifftopnm, or for a raw file dcraw -c, makes an image of it"},
	{4, 7, "ftypavi", "this is AVIF; avifdec FILE x.png and pngtopnm make an image of it"},
	{4, 6, "ftyphe", "this is HEIC; heif-convert FILE x.png and pngtopnm make an image of it"},
	{4, 8, "ftypmif1", "this is HEIF; heif-convert FILE x.png and pngtopnm make an image of it"},
	{4, 8, "JXL \r\n\x87\n", "this is JPEG XL; djxl FILE x.ppm makes an image of it"},
	{0, 2, "\xff\x0a", "this is JPEG XL; djxl FILE x.ppm makes an image of it"},
	{4, 8, "jP  \r\n\x87\n", "this is JPEG 2000; jpeg2ktopam makes an image of it"},
	{0, 4, "\xff\x4f\xff\x51", "this is JPEG 2000; jpeg2ktopam makes an image of it"},
	{0, 2, "BM", "this is BMP; bmptopnm makes an image of it"},
	{0, 4, "qoif", "this is QOI; qoitopam makes an image of it"},
	{0, 3, "PF\n", "this is PFM; pfmtopam makes an image of it"},
	{0, 3, "Pf\n", "this is PFM; pfmtopam makes an image of it"},
	{0, 4, "%PDF", "this is PDF; pdftoppm makes images of it"},
	{0, 4, "<svg", "this is SVG; rsvg-convert and pngtopnm make an image of it"},
	{0, 2, "\x1f\x8b", "this is a gzip file; gzip -dc unpacks it"},
	{0, 6,
     "\xfd"
     "7zXZ",
     "this is an xz file; xz -dc unpacks it"},
	{0, 3, "BZh", "this is a bzip2 file; bzip2 -dc unpacks it"},
};

const char *foreign_kind(const unsigned char *start, size_t bytes)
{
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (bytes >= known[i].offset + known[i].bytes &&
		    !memcmp(start + known[i].offset, known[i].magic, known[i].bytes))
			return known[i].what;
	return NULL;
}
