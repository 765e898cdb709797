# batch.mk - pattern rules of GNU make between pictures and codes, for many files at once.
#
#     make -j4 -f /usr/local/share/vae-tools/batch.mk a.lat b.lat       (from a.png, b.jpg, ... beside them)
#     make -j4 -f /usr/local/share/vae-tools/batch.mk a.dec.png
#     make -j4 -f /usr/local/share/vae-tools/batch.mk summary           (of all pictures here, to summary.tsv)
#
# or in a makefile of your own:
#
#     VAE_QUALITY = 40
#     include /usr/local/share/vae-tools/batch.mk
#     all: $(patsubst %.png,%.lat,$(wildcard *.png))
#
# Rules:      %.lat from %.png %.jpg %.jpeg %.ppm %.pgm %.pbm %.pnm %.pam;  %.dec.png and %.dec.ppm from %.lat
#             (.dec.ppm is PNM or PAM, whatever the picture was);  %.lat.tsv, a line of measures, from %.lat and its picture.
#             A target appears only when the whole pipe has succeeded.
#             Names must be without spaces, as always in make. With -j, -T 1 is the better use of the cores.
#
# summary:    summary.tsv, a line for each picture: file, pixels, bytes of the picture and of the codes, bits a pixel, PSNR in dB.
#             What is not there yet is encoded first; only what is new or has changed is measured. Several images in
#             one file count as one picture. PSNR is that of the mean squared error, 8 bits or not.
#
# Variables, to be set before the include or on make's command line:
#     VAE_QUALITY      of vae-enc, 0 to 100                     (50)
#     VAE_MODEL        name or path of the model to encode with ($VAE_MODEL of the environment, else photo)
#     VAE_FLAGS        for every program, such as -T 1          (none)
#     VAE_ENCFLAGS VAE_QUANTFLAGS VAE_DECFLAGS                  (none), such as VAE_QUANTFLAGS = --level 19
#     VAE_PICTURES     for summary                              (all in this folder, but for *.dec.png and *.dec.ppm)
#     VAE_BINDIR       folder of the programs, with its slash   (none: PATH)
#     PNGTOPNM JPEGTOPNM PNMTOPNG                               (pngtopnm, jpegtopnm -quiet, pamtopng)
#                      PNGTOPNM = pngtopam -alphapam keeps transparency
VAE_QUALITY ?= 50
VAE_MODEL ?=
PNGTOPNM ?= pngtopnm
JPEGTOPNM ?= jpegtopnm -quiet
PNMTOPNG ?= pamtopng
VAE_PICTURES ?= $(filter-out %.dec.png %.dec.ppm,$(wildcard $(addprefix *.,png jpg jpeg ppm pgm pbm pnm pam)))

vae-encode = $(VAE_BINDIR)vae-enc -q $(VAE_QUALITY) $(if $(VAE_MODEL),-m $(VAE_MODEL)) $(VAE_FLAGS) $(VAE_ENCFLAGS)
vae-pack = $(VAE_BINDIR)vae-quant $(VAE_FLAGS) $(VAE_QUANTFLAGS)
# Codes name their model: -m would refuse all of another. Only one that has no place among the others must be shown.
vae-decode = $(VAE_BINDIR)vae-dec $(if $(findstring /,$(VAE_MODEL)),-m $(VAE_MODEL)) $(VAE_FLAGS) $(VAE_DECFLAGS)
# The pipe writes beside the target, and the target takes its name last. The trap also runs when a signal ends the shell.
vae-whole = trap 'rm -f $@.tmp' EXIT; ($(1)) > $@.tmp && mv -f $@.tmp $@

# Codes against their picture, which $(1) reads: a line of summary.tsv.
vae-measure = $(call vae-whole,$(vae-decode) $< | $(VAE_BINDIR)vae-stat $(VAE_FLAGS) --tsv -r $(1) | $(vae-line))
vae-line = awk -F'\t' -v file='$(word 2,$^)' -v picture="$$(wc -c < $(word 2,$^))" -v codes="$$(wc -c < $<)" '\
	NR == 1 { for (i = 1; i <= NF; i++) at[$$i] = i; next } \
	{ n = $$at["width"] * $$at["height"]; pixels += n; error += n * $$at["mse"] } \
	END { if (!pixels) exit 1; \
		printf "%s\t%d\t%d\t%d\t%.4f\t%s\n", file, pixels, picture, codes, 8 * codes / pixels, \
			error ? sprintf("%.2f", -10 * log(error / pixels) / log(10)) : "inf" }'

# A pipe fails where any part of it does, not only the last. Only these targets get another shell than yours.
%.lat %.lat.tsv %.dec.png %.dec.ppm: private SHELL = bash
%.lat %.lat.tsv %.dec.png %.dec.ppm: private .SHELLFLAGS = -o pipefail -c

%.lat: %.png
	$(call vae-whole,$(PNGTOPNM) $< | $(vae-encode) | $(vae-pack))
%.lat: %.jpg
	$(call vae-whole,$(JPEGTOPNM) $< | $(vae-encode) | $(vae-pack))
%.lat: %.jpeg
	$(call vae-whole,$(JPEGTOPNM) $< | $(vae-encode) | $(vae-pack))
%.lat: %.ppm
	$(call vae-whole,$(vae-encode) $< | $(vae-pack))
%.lat: %.pgm
	$(call vae-whole,$(vae-encode) $< | $(vae-pack))
%.lat: %.pbm
	$(call vae-whole,$(vae-encode) $< | $(vae-pack))
%.lat: %.pnm
	$(call vae-whole,$(vae-encode) $< | $(vae-pack))
%.lat: %.pam
	$(call vae-whole,$(vae-encode) $< | $(vae-pack))

%.dec.png: %.lat
	$(call vae-whole,$(vae-decode) $< | $(PNMTOPNG))
%.dec.ppm: %.lat
	$(call vae-whole,$(vae-decode) $<)

%.lat.tsv: %.lat %.png
	@echo measure $(word 2,$^); $(call vae-measure,<($(PNGTOPNM) $(word 2,$^)))
%.lat.tsv: %.lat %.jpg
	@echo measure $(word 2,$^); $(call vae-measure,<($(JPEGTOPNM) $(word 2,$^)))
%.lat.tsv: %.lat %.jpeg
	@echo measure $(word 2,$^); $(call vae-measure,<($(JPEGTOPNM) $(word 2,$^)))
%.lat.tsv: %.lat %.ppm
	@echo measure $(word 2,$^); $(call vae-measure,$(word 2,$^))
%.lat.tsv: %.lat %.pgm
	@echo measure $(word 2,$^); $(call vae-measure,$(word 2,$^))
%.lat.tsv: %.lat %.pbm
	@echo measure $(word 2,$^); $(call vae-measure,$(word 2,$^))
%.lat.tsv: %.lat %.pnm
	@echo measure $(word 2,$^); $(call vae-measure,$(word 2,$^))
%.lat.tsv: %.lat %.pam
	@echo measure $(word 2,$^); $(call vae-measure,$(word 2,$^))

# Put together anew each time, since a picture that is gone leaves nothing behind that is newer; the names go through a file, for there
# may be more of them than a command line holds. The makefile that includes this one keeps its own first target.
vae-goal := $(.DEFAULT_GOAL)
vae-lines = $(sort $(addsuffix .lat.tsv,$(basename $(VAE_PICTURES))))
summary: summary.tsv
	@awk -F'\t' 'NR > 1 { pixels += $$2; bytes += $$4; psnr += $$6; n++ } END { if (n) printf "summary.tsv: %d pictures, %d bytes, " \
		"%.4f bpp, mean PSNR %.2f dB\n", n, bytes, 8 * bytes / pixels, psnr / n }' summary.tsv
summary.tsv: $(vae-lines) vae-always
	$(file >$@.list.tmp,$(vae-lines))@trap 'rm -f $@.tmp $@.list.tmp' EXIT; \
	(printf 'file\tpixels\tpicture_bytes\tbytes\tbpp\tpsnr_db\n' && xargs cat < $@.list.tmp) > $@.tmp && \
	if cmp -s $@.tmp $@; then :; else mv -f $@.tmp $@; fi
vae-always:
.PHONY: summary vae-always
.DEFAULT_GOAL := $(vae-goal)

# Codes and lines that were made on the way to another target stay.
.PRECIOUS: %.lat %.lat.tsv
.DELETE_ON_ERROR:
