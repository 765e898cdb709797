/* vae-stat - measures images, latents, codes and models; it recognises the kind. */
#include "stat.h"

#include <stdlib.h>

enum {
	KEY_TSV = CLI_LONG,
	KEY_JSON,
	KEY_HEATMAP,
	KEY_PLANES,
	KEY_MAP,
	KEY_BRIEF,
	KEY_ICC,
	KEY_EXIF,
	KEY_XMP
};

static const struct cli_option known[] = {
	{'r', "reference", "FILE", "compare images, or decoded ones, with those of FILE"},
	{KEY_TSV, "tsv", NULL, "print tab-separated values, a header for each kind"},
	{KEY_JSON, "json", NULL, "print one array of flat objects"},
	{KEY_BRIEF, "brief", NULL, "print a line for each image, of a single file too"},
	{KEY_ICC, "icc", "FILE", "write the colour profile of codes to FILE"},
	{KEY_EXIF, "exif", "FILE", "write the Exif metadata of codes to FILE"},
	{KEY_XMP, "xmp", "FILE", "write the XMP packet of codes to FILE"},
	{KEY_HEATMAP, "heatmap", NULL, "write a PGM of the bits of each cell of codes"},
	{KEY_MAP, "map", NULL, "write a PBM of codes, black where a cell is exact"},
	{KEY_PLANES, "planes", NULL, "write a PGM of each channel of latents"},
	{'v', "verbose", NULL, "print full reports; pack codes by both methods"},
};

static const struct cli_program program = {
	.name = "vae-stat",
	.usage = "[OPTION]... [FILE]...",
	.about = "Reads images, latents, codes or models, and reports on each FILE: images with\nPSNR, "
			 "MS-SSIM and SSIMULACRA 2 against a reference, latents by channel, codes\nby part, "
			 "models with their cost. Several FILEs get a line each. Reads standard\ninput if "
			 "there is no FILE, or FILE is -.",
	.options = known,
	.count = sizeof known / sizeof *known,
	.without = "v",
};

/* Returns whether metadata are written to files instead of a report. */
static bool takes(const struct options *o)
{
	return o->take[VAE_METADATA_ICC] || o->take[VAE_METADATA_EXIF] || o->take[VAE_METADATA_XMP];
}

static bool makes_pictures(const struct options *o) { return o->heatmap || o->planes || o->map; }

static void parse_options(struct options *o, int argc, char **argv)
{
	int key;

	*o = (struct options){.layout = REPORT_PEOPLE};
	cli_begin(&program, &o->common, argc, argv);
	o->reference = cli_names();
	while ((key = cli_next()) != -1)
		switch (key) {
		case 'r': o->reference[o->references++] = (char *)cli_text(); break;
		case KEY_TSV: o->layout = REPORT_TSV; break;
		case KEY_JSON: o->layout = REPORT_JSON; break;
		case KEY_BRIEF: o->brief = true; break;
		case KEY_ICC: o->take[VAE_METADATA_ICC] = cli_text(); break;
		case KEY_EXIF: o->take[VAE_METADATA_EXIF] = cli_text(); break;
		case KEY_XMP: o->take[VAE_METADATA_XMP] = cli_text(); break;
		case KEY_HEATMAP: o->heatmap = true; break;
		case KEY_PLANES: o->planes = true; break;
		case KEY_MAP: o->map = true; break;
		case 'v': o->common.verbose = true; break;
		}
	if (o->heatmap + o->planes + o->map > 1)
		cli_usage("of --heatmap, --planes and --map only one may be given");
	if (makes_pictures(o) && (o->references || o->brief || o->layout != REPORT_PEOPLE))
		cli_usage("--%s cannot be combined with --reference, --brief, --tsv or --json",
		          o->heatmap  ? "heatmap"
		          : o->planes ? "planes"
		                      : "map");
	if (takes(o) && (o->references || makes_pictures(o) || o->brief || o->common.output ||
	                 o->layout != REPORT_PEOPLE))
		cli_usage("--icc, --exif and --xmp cannot be combined with --output or options of reports");
}

static const char nothing_known[] = "neither image, latents, codes nor a model";

static int stat_stream(struct run *run, struct input *in, struct vae_error *error)
{
	enum vae_kind kind = vae_kind_peek(in->file);
	int status;

	if (takes(run->o) && kind != VAE_KIND_END) {
		status = kind == VAE_KIND_UNKNOWN ? input_unknown(in, nothing_known, error)
		                                  : input_expect(in, VAE_KIND_CODES, error);
		if (!status)
			status = stat_metadata(run, in, error);
		return !status && in->failure ? VAE_EIO : status;
	}
	if (run->pictures && kind != VAE_KIND_END) {
		status = kind == VAE_KIND_UNKNOWN
		             ? input_unknown(in, nothing_known, error)
		             : input_expect(in, run->o->planes ? VAE_KIND_LATENTS : VAE_KIND_CODES, error);
		if (!status)
			status = run->o->planes ? stat_planes(run, in, error)
			         : run->o->map  ? stat_map(run, in, error)
			                        : stat_heatmap(run, in, error);
		return !status && in->failure ? VAE_EIO : status;
	}
	switch (kind) {
	case VAE_KIND_IMAGE: status = stat_images(run, in, error); break;
	case VAE_KIND_LATENTS: status = stat_latents(run, in, error); break;
	case VAE_KIND_CODES: status = stat_codes(run, in, error); break;
	case VAE_KIND_MODEL:
		status = !run->o->references ? stat_model(run, in, error)
		                             : fail(error, VAE_EDATA,
		                                    "this is a model; -r is for images, latents and codes");
		break;
	case VAE_KIND_END:
		status = in->failure ? VAE_EIO : fail(error, VAE_EDATA, "empty input");
		break;
	default: status = input_unknown(in, nothing_known, error);
	}
	return !status && in->failure ? VAE_EIO : status;
}

/* Reports on all files; a bad file does not stop it. */
static bool stat_files(struct run *run)
{
	const struct cli_common *c = &run->o->common;
	struct vae_error error = {0};
	struct input in;
	bool good = true;
	int i = 0;

	do {
		uint64_t taken = run->references;

		if (input_open(&in, c->operand + i, c->operands ? 1 : 0, &error)) {
			cli_error("%s", error.text);
			return false;
		}
		if (stat_stream(run, &in, &error) < 0) {
			if (run->pictures && ferror(run->pictures->file)) {
				cli_error("%s: %s", run->pictures->name, error.text);
				input_close(&in);
				return false;
			}
			input_report(&in, &error);
			stat_skip_reference(run, taken, in.items);
			good = false;
		}
		input_close(&in);
	} while (++i < c->operands);
	return good;
}

int main(int argc, char **argv)
{
	struct vae_error error = {0};
	struct options o;
	struct run run = {.o = &o};
	struct output out = {0};
	bool good, pictures;

	parse_options(&o, argc, argv);
	pictures = makes_pictures(&o);
	if (output_open(&out, o.common.output, pictures && !o.common.force, &error) ||
	    models_open(&run.models, o.common.model, &error) ||
	    input_open(&run.reference_in, o.reference, o.references, &error)) {
		cli_error("%s", error.text);
		good = false;
	} else if (takes(&o)) {
		good = stat_files(&run) && stat_metadata_save(&run);
	} else if (pictures) {
		run.pictures = &out;
		good = stat_files(&run);
	} else {
		report_begin(&run.report, out.file, o.layout);
		run.brief =
			o.brief || (o.layout == REPORT_PEOPLE && o.common.operands > 1 && !o.common.verbose);
		good = stat_files(&run);
		if (good && stat_references_left(&run))
			good = false;
		if (run.brief && run.codes > 1)
			stat_total(&run);
		if (run.compared > 1)
			stat_average(&run);
		report_end(&run.report);
	}
	if (good && output_close(&out, &error)) {
		cli_error("%s: %s", out.name, error.text);
		good = false;
	}
	output_abandon(&out);
	input_close(&run.reference_in);
	vae_image_free(run.kept);
	metadata_clear(&run.metadata);
	models_close(&run.models);
	free(o.reference);
	return good ? EXIT_DONE : EXIT_FAILED;
}
