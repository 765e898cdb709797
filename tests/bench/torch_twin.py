#!/usr/bin/python3
"""A twin in PyTorch of the photo network and its training, built from the architecture and tensors of a model file, vae-model(5).

    torch_twin.py check MODEL IMAGE.ppm          our forward pass, loss and gradients against autograd; exit 1 where they differ
    torch_twin.py speed MODEL IMAGE.ppm          images a second of a training step on the CPU, the twin's and vae-train's in turns
    torch_twin.py train START DATA.ppm... OUT    trains where there is a GPU, and writes a model; START is a model or an
                                                 architecture line, whose fresh start vae-train then makes

Arrays are batch x rows x columns x channels. Needs torch 1.13 or later and numpy (Debian: python3-torch), and the programs of
this tree (make all benches) in $B or build/.
"""
import argparse, json, math, os, statistics, struct, subprocess, sys, tempfile, time

import numpy as np
import torch
import torch.nn.functional as F

ONE = 65535                                 # quality 1.0
LOG_SCALE_MIN, LOG_SCALE_MAX = -2.2072749, 6.2383246
LEAK = 0.1
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def program(name):
    path = os.path.join(os.environ.get("B", os.path.join(ROOT, "build")), name)
    return path if os.path.exists(path) else name


# ---- the model file -----------------------------------------------------------------------------------------------------

DTYPES = {"F16": "<f2", "F32": "<f4", "I32": "<i4", "U16": "<u2"}


def xxh64(data):
    """XXH64 with seed 0 of bytes."""
    p1, p2, p3, p4, p5 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
    m = (1 << 64) - 1

    def turn(x, n):
        return (x << n | x >> (64 - n)) & m

    def lane(a, word):
        return turn((a + word * p2) & m, 31) * p1 & m

    n, at = len(data), 0
    if n >= 32:
        a, b, c, d = (p1 + p2) & m, p2, 0, -p1 & m
        for w in struct.iter_unpack("<4Q", data[:n // 32 * 32]):
            a, b, c, d = lane(a, w[0]), lane(b, w[1]), lane(c, w[2]), lane(d, w[3])
        h, at = (turn(a, 1) + turn(b, 7) + turn(c, 12) + turn(d, 18)) & m, n // 32 * 32
        for x in (a, b, c, d):
            h = ((h ^ lane(0, x)) * p1 + p4) & m
    else:
        h = p5
    h = (h + n) & m
    while at + 8 <= n:
        h, at = (turn(h ^ lane(0, struct.unpack_from("<Q", data, at)[0]), 27) * p1 + p4) & m, at + 8
    if at + 4 <= n:
        h, at = (turn(h ^ struct.unpack_from("<I", data, at)[0] * p1 & m, 23) * p2 + p3) & m, at + 4
    for byte in data[at:]:
        h = turn(h ^ byte * p5 & m, 11) * p1 & m
    h = (h ^ h >> 33) * p2 & m
    h = (h ^ h >> 29) * p3 & m
    return h ^ h >> 32


def trained(name):
    """Whether a tensor is a parameter: the others are the coder's tables and what rounding should know."""
    return "scales." not in name and name != "prior.sensitivity"


def read_tensors(data):
    """Metadata and tensors, in the file's order, of bytes in the safetensors layout."""
    n = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8:8 + n])
    meta, tensors = header.pop("__metadata__", {}), {}
    for name, t in header.items():
        begin, end = t["data_offsets"]
        tensors[name] = np.frombuffer(data[8 + n + begin:8 + n + end], DTYPES[t["dtype"]]).reshape(t["shape"])
    return meta, tensors


Z_VECTORS = ("prior.z.mean", "prior.z.left", "prior.z.up")    # of shape [Z], here [1,Z] as a layer's table is


def read_model(path):
    with open(path, "rb") as f:
        meta, tensors = read_tensors(f.read())
    if not meta.get("architecture", "").startswith("photo "):
        sys.exit(f"torch_twin: {path}: not a photo model")
    return meta, tensors


def write_model(path, meta, tensors, values):
    """The tensors of a model with other values, F16 where those were; complete, or not at all."""
    names = {np.dtype(v): k for k, v in DTYPES.items()}
    header, parts, at = {}, [], 0
    for name, old in tensors.items():
        raw = np.ascontiguousarray(values.get(name, old), dtype=old.dtype).tobytes()
        header[name] = {"dtype": names[old.dtype], "shape": list(old.shape), "data_offsets": [at, at + len(raw)]}
        parts.append(raw)
        at += len(raw)
    data = b"".join(parts)
    identity = "%016x" % xxh64(meta["architecture"].encode() + data)
    text = json.dumps({"__metadata__": {**meta, "id": identity}, **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path + ".new", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)
    os.replace(path + ".new", path)
    return identity


# ---- the network ----------------------------------------------------------------------------------------------------------

class ClampScale(torch.autograd.Function):
    """Clamps a log-scale; the gradient is 0 where the clamp holds and descent would push outward."""
    @staticmethod
    def forward(ctx, s):
        ctx.save_for_backward(s)
        return s.clamp(LOG_SCALE_MIN, LOG_SCALE_MAX)

    @staticmethod
    def backward(ctx, g):
        s, = ctx.saved_tensors
        return g.masked_fill((s < LOG_SCALE_MIN) & (g > 0) | (s > LOG_SCALE_MAX) & (g < 0), 0)


def gaussian_bits(d, log_scale):
    """-log2 of the mass of N(0, e^log_scale) on [d - 1/2, d + 1/2]; beyond 6 deviations cost and slope stay as they are there."""
    s = ClampScale.apply(log_scale)
    distance, inverse = d.abs(), torch.exp(-s)
    near = (distance - 0.5) * inverse
    far = 6 + (distance - distance.detach()) * inverse.detach() - 6 * (s - s.detach())
    low = torch.where(near > 6, far, near)
    mass = 0.5 * (torch.erfc(low * math.sqrt(0.5)) - torch.erfc((low + inverse) * math.sqrt(0.5)))
    bits = -torch.log2(mass)
    return bits + (bits.clamp(max=-math.log2(1e-9)) - bits).detach()


def straight_through(value, rounded=None):
    return value + ((torch.round(value) if rounded is None else rounded) - value).detach()


def space_to_depth(x, f):
    b, h, w, c = x.shape
    return x.reshape(b, h // f, f, w // f, f, c).permute(0, 1, 3, 2, 4, 5).reshape(b, h // f, w // f, f * f * c)


def depth_to_space(x, f):
    b, h, w, c = x.shape
    return x.reshape(b, h, w, f, f, c // (f * f)).permute(0, 1, 3, 2, 4, 5).reshape(b, h * f, w * f, c // (f * f))


class Twin:
    """The five networks over parameters by name, for a batch of patches with a quality each (0 to 65535).

    leaky, by layer, are outputs of leaky ReLUs computed elsewhere, whose signs choose the slope here, too."""

    def __init__(self, architecture, params, leaky=None):
        words = dict(word.split("=") for word in architecture.split()[1:])
        self.lambdas = [float(x) for x in words.pop("lambda").split(":")]
        self.a = {k: int(v) for k, v in words.items()}
        self.p = params
        self.leaky, self.kink = leaky or {}, 0.0

    def at(self, name):
        """A table at the batch's qualities: batch x 1 x 1 x channels."""
        t = self.p[name]
        low = t[self.index]
        return torch.addcmul(low, self.fraction, t[self.index + 1] - low)[:, None, None, :]

    def gain(self, name):
        return torch.exp2(self.at(name))

    def linear(self, x, name, slope=None):
        w, b = self.p[name + ".weight"], self.p[name + ".bias"]
        if x.is_cuda or x.dtype == torch.float64:
            x = F.linear(x, w.t(), b)
        else:                               # a convolution over channels_last memory: oneDNN's kernels, whatever the BLAS
            x = F.conv2d(x.permute(0, 3, 1, 2), w.t()[:, :, None, None], b).permute(0, 2, 3, 1)
        if slope is None:
            return x
        if name not in self.leaky:
            return F.leaky_relu(x, slope)
        above, t = self.leaky[name] > 0, x.detach()
        self.kink = max(self.kink, float(t.abs().masked_fill(above == (t > 0), 0).max() / t.square().mean().sqrt()))
        return torch.where(above, x, x * slope)

    def depthwise(self, x, name):
        w, c = self.p[name + ".weight"], x.shape[3]
        return F.conv2d(x.permute(0, 3, 1, 2), w.t().reshape(c, 1, 3, 3), self.p[name + ".bias"], padding=1, groups=c).permute(0, 2, 3, 1)

    def block(self, x, name):
        x = x + self.linear(self.depthwise(self.linear(x, name + ".w1", LEAK), name + ".dw"), name + ".w2")
        return x + self.linear(self.linear(x, name + ".w3", LEAK), name + ".w4")

    def blocks(self, x, name, count):
        for i in range(count):
            x = self.block(x, f"{name}{i}")
        return x

    def analysis(self, x):
        t = self.linear(space_to_depth(x, 16), "enc.patch") * self.gain("enc.gain")
        return self.linear(self.blocks(t, "enc.block", self.a["enc_blocks"]), "enc.to_y") * self.gain("enc.gain_y")

    def h_a(self, y):
        t = self.block(self.linear(y, "prior.ha.in") * self.gain("prior.ha.gain"), "prior.ha.block0")
        t = self.block(self.linear(space_to_depth(t, 2), "prior.ha.down0"), "prior.ha.block1")
        return self.linear(space_to_depth(t, 2), "prior.ha.down1") * self.gain("prior.ha.gain_z")

    def h_s(self, z):
        t = depth_to_space(self.linear(z, "prior.hs.up0"), 2) * self.gain("prior.hs.gain0")
        t = self.block(t, "prior.hs.block0")
        t = depth_to_space(self.linear(t, "prior.hs.up1"), 2) * self.gain("prior.hs.gain1")
        features = self.block(t, "prior.hs.block1")
        return features, self.linear(features, "prior.hs.head") + self.at("prior.hs.shift")

    def context(self, step, residual, features, guess):
        n = ("prior.ctx", "prior.ctx2", "prior.ctx3")[step - 1]
        t = self.linear(torch.cat([residual, features], 3), n + ".in") * self.gain(n + ".gain")
        return self.linear(self.blocks(t, n + ".block", self.a["ctx_blocks"]), n + ".head") + guess

    def coded(self, step, rows, columns, device):
        """Which channels of which cells a step codes: rows x columns x channels."""
        steps, part = self.a["steps"], self.a["y"] // self.a["steps"]
        r, q = torch.arange(rows, device=device)[:, None], torch.arange(columns, device=device)[None, :]
        group = (r + q + step) % 2 if steps == 2 else (2 * (r % 2) + q % 2) ^ (0, 3, 1, 2)[step]
        return group[:, :, None] == torch.arange(self.a["y"], device=device) // part

    def synthesis(self, y):
        y = y * self.gain("dec.gain_y")
        t = self.blocks(self.linear(y, "dec.in"), "dec.block", self.a["dec_blocks"])
        steer = self.linear(t, "dec.steer")
        g = depth_to_space(self.linear(t, "dec.feature") + self.linear(y, "dec.content"), 4)
        b, h, w, c = g.shape

        def cells(x):                       # the 4 x 4 grid cells that a cell of steer covers
            return x.reshape(b, h // 4, 4, w // 4, 4, c)

        for i, one in enumerate(steer.split(3 * c, 3)):
            scale, shift, gate = (s[:, :, None, :, None, :] for s in one.split(c, 3))
            t = (cells(g) * (1 + scale) + shift).reshape(b, h, w, c)
            t = self.linear(self.linear(self.depthwise(t, f"dec.grid{i}.dw"), f"dec.grid{i}.w1", LEAK), f"dec.grid{i}.w2")
            g = (cells(t) * (1 + gate) + cells(g)).reshape(b, h, w, c)
        return depth_to_space(self.linear(g, "dec.out"), 4)

    def forward(self, x, quality, noise, rounded=(None, None)):
        """Everything on the way to the loss, which is a mean over the batch; noise and rounded of (z, y)."""
        scaled = quality * (self.a["knots"] - 1)
        self.index = (scaled // ONE).clamp(max=self.a["knots"] - 2)
        self.fraction = ((scaled - self.index * ONE).to(x.dtype) / ONE)[:, None]
        full = torch.float64 if x.dtype == torch.float64 else torch.float32
        y = self.analysis(x).to(full)
        z = self.h_a(y).to(full)
        z_hat, z_d = self.round_z(z, rounded[0])
        features, guess0 = self.h_s(z_hat)
        guess0, channels, steps = guess0.to(full), y.shape[3], self.a["steps"]
        guesses, guess, residual = [guess0], guess0, torch.zeros_like(y)
        for step in range(1, steps):
            coded = self.coded(step - 1, y.shape[1], y.shape[2], x.device)
            residual = residual + straight_through(y - guesses[-1][..., :channels], rounded[1]) * coded
            guesses.append(self.context(step, residual, features, guess0).to(full))
            coded = self.coded(step, y.shape[1], y.shape[2], x.device)
            guess = torch.where(torch.cat([coded, coded], 2), guesses[-1], guess)
        d = y - guess[..., :channels]
        x_hat = self.synthesis(straight_through(d, rounded[1]) + guess[..., :channels]).to(full)

        with torch.autocast(x.device.type, enabled=False):
            pixels, each = x.shape[1] * x.shape[2], (1, 2, 3)
            lambdas = self.lambdas[0] * (self.lambdas[1] / self.lambdas[0]) ** (quality.to(full) / ONE)
            z_bpp = gaussian_bits(z_d + noise[0], self.at("prior.z.log_scale").expand_as(z_d)).sum(each) / pixels
            bpp = z_bpp + gaussian_bits(d + noise[1], guess[..., channels:]).sum(each) / pixels
            mse = (x_hat - x).square().mean(each)
            loss = (bpp + lambdas * 65025 * mse) / (6.5 * lambdas ** 0.48)
        return {**{f"guess{i}": g for i, g in enumerate(guesses)}, "y": y, "z": z, "features": features, "x_hat": x_hat, "z_d": z_d, "y_d": d,
                "loss": loss.mean(), "bpp": bpp.mean(), "z_bpp": z_bpp.mean(), "mse": mse.mean()}

    def round_z(self, z, rounded):
        """z rounded about its mean, and the distance from it: cell by cell, since the mean leans on the cells to the left and above."""
        mean, left, up = (self.p["prior.z." + k][0] for k in ("mean", "left", "up"))
        z_hat, z_d = [], []
        for row in range(z.shape[1]):
            z_hat.append([])
            z_d.append([])
            for column in range(z.shape[2]):
                m = mean
                if column:
                    m = m + left * (z_hat[row][column - 1] - mean)
                if row:
                    m = m + up * (z_hat[row - 1][column] - mean)
                z_d[row].append(z[:, row, column] - m)
                z_hat[row].append(straight_through(z_d[row][column], None if rounded is None else rounded[:, row, column]) + m)
        return tuple(torch.stack([torch.stack(r, 1) for r in v], 1) for v in (z_hat, z_d))

    def noise(self, batch, size, generator, device):
        return [torch.rand((batch, size // f, size // f, self.a[k]), generator=generator, device=device) - 0.5 for f, k in ((64, "z"), (16, "y"))]


# ---- check ---------------------------------------------------------------------------------------------------------------

def check(options):
    meta, tensors = read_model(options.model)
    worst, failed = ("", 0.0), False
    for quality in options.quality:
        dump = subprocess.run([program("bench/gradient"), options.model, options.image, str(quality), str(options.patch)], stdout=subprocess.PIPE, check=True)
        ours = {k: torch.from_numpy(v.astype(np.float64)) for k, v in read_tensors(dump.stdout)[1].items()}
        # One row of a vector or table stands for its shape [1,n], as in the dump.
        params = {k: torch.from_numpy(np.atleast_2d(v.astype(np.float64))).requires_grad_() for k, v in tensors.items() if trained(k)}
        vectors = {k: p if tensors[k].ndim == 2 or k in Z_VECTORS else p[0] for k, p in params.items()}
        # A sum next to 0 may have either sign in float32, and the slope of a leaky ReLU with it: one such sum moves a gradient by 0.3 %.
        leaky = {k[len("leaky."):]: v[None] for k, v in ours.items() if k.startswith("leaky.")}
        twin = Twin(meta["architecture"], vectors, leaky)
        out = twin.forward(ours["x"][None], torch.tensor([quality]), [ours["noise.z"][None], ours["noise.y"][None]],
                           [ours["rounded.z"][None], ours["rounded.y"][None]])
        out["loss"].backward()
        pairs = {k: (ours[k], out[k][0].detach()) for k in ["y", "z", "features", "x_hat"] + [f"guess{i}" for i in range(twin.a["steps"])]}
        pairs.update({k: (ours["sums"][0, 0, i], out[k].detach()) for i, k in enumerate(("loss", "bpp", "z_bpp", "mse"))})
        pairs.update({"gradient." + k: (ours["gradient." + k][0], p.grad) for k, p in params.items()})
        for k in ("z", "y"):                # to the nearest integer, but for halves that two precisions take for different ones
            off = float((ours["rounded." + k] - out[k + "_d"][0]).abs().max())
            if not off < 0.501:
                failed = True
                print(f"quality {quality}: {k} is rounded by {off:.3f}")
        if not twin.kink < 1e-5:
            failed = True
            print(f"quality {quality}: a leaky ReLU takes the other slope at {twin.kink:.3g} of its layer's root mean square")
        errors = {}
        for name, (a, b) in pairs.items():
            norm, difference = float(b.norm()), float((a - b).norm())
            errors[name] = difference / norm if norm else math.inf if difference else 0.0
            if not errors[name] <= options.bound:
                failed = True
                print(f"quality {quality}: {name}: relative error {errors[name]:.3g}, norm {norm:.3g}")
        worst = max([worst] + [(f"{k} at quality {quality}", e) for k, e in errors.items()], key=lambda pair: pair[1])
        print(f"quality {quality}: loss {float(out['loss']):.6f}; relative errors: loss {errors['loss']:.2g}, "
              f"outputs {max(e for k, e in errors.items() if 'gradient' not in k):.2g}, "
              f"{len(params)} gradients {max(e for k, e in errors.items() if 'gradient' in k):.2g}", flush=True)
    print(f"worst: {worst[0]}, {worst[1]:.3g}; bound {options.bound:g}")
    return failed


# ---- data ----------------------------------------------------------------------------------------------------------------

def read_pnm(path):
    """The pictures of a stream of raw PGM and PPM, as H x W x 3 bytes."""
    data, at = np.fromfile(path, np.uint8) if path != "-" else np.frombuffer(sys.stdin.buffer.read(), np.uint8), 0
    while at < len(data):
        words, head = [], data[at:at + 4096].tobytes()
        n = 0
        while len(words) < 4 and n < len(head):
            if head[n:n + 1] == b"#":
                n = head.index(b"\n", n) + 1
            elif head[n:n + 1].isspace():
                n += 1
            else:
                end = n
                while end < len(head) and not head[end:end + 1].isspace():
                    end += 1
                words.append(head[n:end])
                n = end
        if len(words) < 4 or words[0] not in (b"P5", b"P6"):
            sys.exit(f"torch_twin: {path}: offset {at}: neither raw PGM nor raw PPM")
        width, height, maxval = (int(w) for w in words[1:])
        channels, at = 3 if words[0] == b"P6" else 1, at + n + 1
        kind = np.dtype(np.uint8 if maxval < 256 else ">u2")
        size = width * height * channels * kind.itemsize
        if at + size > len(data):
            sys.exit(f"torch_twin: {path}: truncated")
        samples = data[at:at + size].view(kind).reshape(height, width, channels)
        if maxval != 255:
            samples = ((samples.astype(np.uint32) * 510 + maxval) // (2 * maxval)).astype(np.uint8)
        yield np.broadcast_to(samples, (height, width, 3))
        at += size


class Patches:
    """Pictures as bytes on the device, and random patches: area-averaged by a factor, turned; see lib/train/data.h."""

    def __init__(self, device, size, reduce, lossy, lossless):
        pictures, rows, left_out = [], [], 0
        for most, paths in ((reduce[1], lossy), (1.0, lossless)):
            for picture in (p for path in paths for p in read_pnm(path)):
                height, width = picture.shape[:2]
                if min(width, height) < size:
                    left_out += 1
                    continue
                fits = size / min(width, height)
                rows.append((width, height, sum(p.shape[0] for p in pictures), max(reduce[0], fits), max(most, fits), width * height * reduce[0] * most))
                pictures.append(np.ascontiguousarray(picture).reshape(-1, 3))
        if not rows:
            sys.exit("torch_twin: no picture to train on")
        if left_out:
            print(f"{left_out} pictures are smaller than the patch and left out")
        self.device, self.size = device, size
        self.bytes = torch.from_numpy(np.concatenate(pictures)).to(device)
        table = np.array(rows, np.float64)
        self.table = torch.from_numpy(table).to(device)
        self.ends = torch.from_numpy(np.cumsum(table[:, 5])).to(device)
        self.side = int(np.ceil(np.minimum(size / table[:, 3], table[:, :2].min(1))).max())

    def draw(self, batch, generator):
        """batch x size x size x 3, -0.5 to 0.5"""
        def uniform(*shape):
            return torch.rand(shape, generator=generator, device=self.device, dtype=torch.float64)

        picture = torch.searchsorted(self.ends, uniform(batch) * self.ends[-1]).clamp(max=len(self.ends) - 1)
        width, height, offset, least, most, _ = self.table[picture].unbind(1)
        window = torch.minimum(self.size / (least * (most / least) ** uniform(batch)), torch.minimum(width, height)).clamp(min=self.size)
        side = torch.ceil(window)
        x0, y0 = ((n - side + 1) * uniform(batch) for n in (width, height))
        step = torch.arange(self.side, device=self.device)
        columns = torch.minimum(x0.long()[:, None] + step, (width.long() - 1)[:, None])
        rows = torch.minimum(y0.long()[:, None] + step, (height.long() - 1)[:, None])
        index = (offset.long()[:, None] + rows * width.long()[:, None])[:, :, None] + columns[:, None, :]
        patch = self.bytes[index].float() / 255 - 0.5               # batch x side x side x 3
        down, across = (self.filters(window / self.size, uniform(batch) < 0.5) for _ in range(2))
        patch = torch.bmm(down, patch.flatten(2)).view(batch, self.size, self.side, 3)
        patch = torch.einsum("bxj,byjc->byxc", across, patch)
        return torch.where((uniform(batch) < 0.5)[:, None, None, None], patch.transpose(1, 2), patch).contiguous()

    def filters(self, span, flip):
        """The box filter as matrices, batch x size x side, of rows in reverse where flip."""
        k = torch.arange(self.size, device=self.device, dtype=torch.float64)
        k = torch.where(flip[:, None], self.size - 1 - k, k)
        begin, end = k * span[:, None], (k + 1) * span[:, None]
        pixel = torch.arange(self.side, device=self.device, dtype=torch.float64)
        covered = torch.minimum(end[:, :, None], pixel + 1) - torch.maximum(begin[:, :, None], pixel)
        return (covered.clamp(min=0) / span[:, None, None]).float()


# ---- training ------------------------------------------------------------------------------------------------------------

class Trainer:
    """Parameters, gradients, Adam's moments and the average, each one flat array, and a step of training; see lib/train/optimiser.c."""

    def __init__(self, meta, tensors, device, bf16):
        names = [k for k in tensors if trained(k)]
        flat = torch.from_numpy(np.concatenate([tensors[k].astype(np.float32).ravel() for k in names])).to(device)
        self.value, self.gradient, self.first, self.second, self.average = flat, *(torch.zeros_like(flat) for _ in range(3)), flat.clone()
        self.params, self.range, at = {}, {}, 0
        for k in names:
            n, shape = tensors[k].size, (1, tensors[k].size) if k in Z_VECTORS else tensors[k].shape
            p = flat[at:at + n].view(shape).detach().requires_grad_()
            p.grad = self.gradient[at:at + n].view(shape)
            self.params[k], self.range[k] = p, slice(at, at + n)
            at += n
        self.twin, self.bf16, self.device, self.step = Twin(meta["architecture"], self.params), bf16, device, 0

    def train_step(self, x, quality, noise, rate, clip, ema):
        """Returns the pass's figures, or None where the gradient was not finite and nothing was changed."""
        self.gradient.zero_()
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            out = self.twin.forward(x, quality, noise)
        out["loss"].backward()
        with torch.no_grad():
            norm = float(self.gradient.norm())
            if not math.isfinite(norm):
                return None
            self.step += 1
            g, t = self.gradient, self.step
            if 0 < clip < norm:
                g.mul_(clip / norm)
            self.first.lerp_(g, 1 - 0.9)
            self.second.mul_(0.999).addcmul_(g, g, value=1 - 0.999)
            self.value.add_(self.first / (self.second.sqrt() + 1e-8), alpha=-rate * math.sqrt(1 - 0.999 ** t) / (1 - 0.9 ** t))
            self.average.lerp_(self.value, 1 - min(ema, (t + 1) / (t + 10)))
        return out

    def values(self):
        average = self.average.cpu().numpy()
        return {k: average[r] for k, r in self.range.items()}


def fresh_start(architecture, data, scratch):
    """vae-train's own start, after a step that changes nothing that counts."""
    path = os.path.join(scratch, "start.safetensors")
    subprocess.run([program("vae-train"), "--arch", architecture, "--steps", "1", "--lr", "1e-9", "--warmup", "0", "--ema", "0", "--batch", "1",
                    "--patch", "64", "--quiet", "-o", path, data], check=True)
    return path


def train(options):
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = not options.exact
    if "-" in options.data:
        sys.exit("torch_twin: training data must be files")
    fresh = options.start.startswith("photo")
    with tempfile.TemporaryDirectory() as scratch:
        meta, tensors = read_model(fresh_start(options.start, options.data[0], scratch) if fresh else options.start)
    reduce = tuple(float(v) for v in options.reduce.split(":"))
    if not 1 / 16 <= reduce[0] <= reduce[1] <= 1:
        sys.exit("torch_twin: --reduce is MIN:MAX, 1/16 to 1")
    patches = Patches(device, options.patch, reduce, options.data, options.lossless)
    trainer = Trainer(meta, tensors, device, options.bf16)
    generator = torch.Generator(device).manual_seed(options.seed)
    begin = said = saved = time.monotonic()
    sums, count, skipped = torch.zeros(4, device=device), 0, 0

    def save():
        words = f"{trainer.step} steps of {options.batch} samples by the PyTorch twin " \
                f"(tests/bench/torch_twin.py) on {device.type} in {(time.monotonic() - begin) / 60:.0f} minutes, Adam {options.lr:g}, seed {options.seed}"
        start = "" if fresh else f", from model {meta['id']}"
        text = {"format_version": "1", "architecture": meta["architecture"], "id": "",
                "licence": options.licence if options.licence is not None else "" if fresh else meta.get("licence", ""),
                "training": words + start + ("; " + options.summary if options.summary else "")}
        return write_model(options.out, text, tensors, trainer.values())

    while trainer.step < options.steps:
        done = trainer.step / options.steps
        left = max(0.01, (1 - done) / options.decay) if options.decay > 0 and done > 1 - options.decay else 1
        rate = options.lr * left * min(1, (trainer.step + 1) / (options.warmup + 1))
        quality = torch.randint(ONE + 1, (options.batch,), generator=generator, device=device)
        noise = trainer.twin.noise(options.batch, options.patch, generator, device)
        out = trainer.train_step(patches.draw(options.batch, generator), quality, noise, rate, options.clip, options.ema)
        skipped = 0 if out else skipped + 1
        if skipped == 50:
            sys.exit(f"torch_twin: diverged at step {trainer.step}")
        if out:
            sums += torch.stack([out[k].detach() for k in ("loss", "bpp", "z_bpp", "mse")])
            count += 1
        now = time.monotonic()
        if count and (now - said >= 10 or trainer.step == options.steps):
            loss, bpp, z_bpp, mse = (sums / count).tolist()
            print(f"step {trainer.step}/{options.steps}, loss {loss:.4f}, {bpp:.4f} bpp (z {z_bpp:.4f}), {-10 * math.log10(mse):.2f} dB, "
                  f"{count * options.batch / (now - said):.1f} images/s", flush=True)
            sums.zero_()
            count, said = 0, now
        if now - saved >= 60 * options.save_minutes:
            save()
            saved = time.monotonic()
    print(f"{options.out}: model {save()}")
    return False


# ---- speed ---------------------------------------------------------------------------------------------------------------

def run_ours(options, scratch, *limit):
    """A run of vae-train: median of its own reports of images a second, steps, and CPU seconds."""
    log, cpu = os.path.join(scratch, "log"), sum(os.times()[2:4])
    subprocess.run([program("vae-train"), "--init", os.path.abspath(options.model), *limit, "--batch", str(options.batch), "--patch", str(options.patch),
                    "-T", str(options.threads), *options.precision, "--quiet", "--log", log, "-o", os.path.join(scratch, "out"), options.image], check=True)
    with open(log) as f:
        rows = [dict(zip(header, line.split("\t"))) for header in [f.readline().rstrip("\n").split("\t")] for line in f]
    return statistics.median(float(r["images_per_second"]) for r in rows), int(rows[-1]["step"]), sum(os.times()[2:4]) - cpu


def measure_ours(options, scratch):
    """Images a second, and images a CPU second, of steps behind the first."""
    first = run_ours(options, scratch, "--steps", "1")
    rate, steps, cpu = run_ours(options, scratch, "--minutes", f"{options.seconds / 60:.4f}")
    return rate, options.batch * (steps - 1) / (cpu - first[2])


def measure_twin(options, trainer, batch):
    times, end, cpu = [], time.monotonic() + options.seconds, time.process_time()
    while not times or time.monotonic() < end:
        start = time.monotonic()
        trainer.train_step(*batch, rate=1e-6, clip=1, ema=0.999)
        times.append(time.monotonic() - start)
    return options.batch / statistics.median(times), options.batch * len(times) / (time.process_time() - cpu)


def speed(options):
    if "OMP_WAIT_POLICY" not in os.environ: # threads that wait should not burn what others, and CPU seconds, are measured by
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "OMP_WAIT_POLICY": "passive"})
    torch.set_num_threads(options.threads)
    meta, tensors = read_model(options.model)
    trainer = Trainer(meta, tensors, torch.device("cpu"), False)
    generator = torch.Generator().manual_seed(1)
    batch = (Patches(trainer.device, options.patch, (1.0, 1.0), [options.image], []).draw(options.batch, generator),
             torch.randint(ONE + 1, (options.batch,), generator=generator), trainer.twin.noise(options.batch, options.patch, generator, trainer.device))
    says = subprocess.run([program("vae-train"), "--help"], stdout=subprocess.PIPE, check=True, universal_newlines=True).stdout
    options.precision = ["--precision", "float32"] if "--precision" in says else []
    trainer.train_step(*batch, rate=1e-6, clip=1, ema=0.999)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, batch {options.batch} of {options.patch} x {options.patch}, float32; "
          "images a second (a CPU second)")
    rounds = []
    with tempfile.TemporaryDirectory() as scratch:
        for i in range(options.rounds):
            (a, cpu_a), (b, cpu_b) = measure_twin(options, trainer, batch), measure_ours(options, scratch)
            rounds.append((a, b, b / a, cpu_b / cpu_a))
            print(f"round {i + 1}: twin {a:.2f} ({cpu_a:.2f}), vae-train {b:.2f} ({cpu_b:.2f}), ratio {b / a:.2f} ({cpu_b / cpu_a:.2f})", flush=True)
    print("medians: twin %.2f, vae-train %.2f, ratio %.2f (%.2f); bar 2.5" % tuple(statistics.median(column) for column in zip(*rounds)))
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    c = commands.add_parser("check")
    c.add_argument("model")
    c.add_argument("image")
    c.add_argument("--quality", type=int, nargs="+", default=[0, 23456, 40000, 65535], help="0 to 65535")
    c.add_argument("--patch", type=int, default=128)
    c.add_argument("--bound", type=float, default=1e-4)
    c.set_defaults(run=check)
    s = commands.add_parser("speed")
    s.add_argument("model")
    s.add_argument("image")
    s.add_argument("--batch", type=int, default=8)
    s.add_argument("--patch", type=int, default=256)
    s.add_argument("--threads", type=int, default=os.cpu_count())
    s.add_argument("--rounds", type=int, default=3)
    s.add_argument("--seconds", type=float, default=8, help="of each of the two in a round")
    s.set_defaults(run=speed)
    t = commands.add_parser("train")
    t.add_argument("start", help="a model, or an architecture line as vae-train --arch takes")
    t.add_argument("data", nargs="+", help="streams of raw PGM and PPM pictures")
    t.add_argument("out")
    t.add_argument("--steps", type=int, required=True)
    t.add_argument("--device", choices=("cuda", "cpu"))
    t.add_argument("--bf16", action="store_true", help="bfloat16 operands, by autocast")
    t.add_argument("--exact", action="store_true", help="no TF32 products")
    t.add_argument("--lossless", nargs="+", default=[], metavar="FILE", help="more pictures, reduced by MIN to 1")
    t.add_argument("--reduce", default="1:1", metavar="MIN:MAX")
    t.add_argument("--batch", type=int, default=8)
    t.add_argument("--patch", type=int, default=256)
    t.add_argument("--lr", type=float, default=1e-3)
    t.add_argument("--warmup", type=int, default=200)
    t.add_argument("--decay", type=float, default=0.2)
    t.add_argument("--clip", type=float, default=1)
    t.add_argument("--ema", type=float, default=0.999)
    t.add_argument("--seed", type=int, default=1)
    t.add_argument("--save-minutes", type=float, default=10, help="OUT is written this often, and at the end")
    t.add_argument("--licence")
    t.add_argument("--summary", default="", help="a sentence on the data, kept in the model")
    t.set_defaults(run=train)
    options = parser.parse_args()
    return options.run(options)


if __name__ == "__main__":
    sys.exit(main())
