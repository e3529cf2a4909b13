"""A software renderer: triangles to a shaded picture with numpy alone, no display and no graphics library.

Orthographic camera, z-buffer, deferred Lambert shading with creased smooth normals, darkened depth and edges, clean
section caps where a body is cut away, and 2 × supersampling. Bodies must be closed for the caps to be right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from comould.space import FloatArray

IntArray = npt.NDArray[np.int64]
CHUNK = 2_000_000
CREASE = np.cos(np.deg2rad(35.0))
_NOTHING = np.uint64(0xFFFFFFFFFFFFFFFF)


class MeshLike(Protocol):
    """Anything with triangles: ``vertices`` (n, 3) and ``faces`` (m, 3), wound outwards."""

    @property
    def vertices(self) -> npt.NDArray[np.float64]:
        """Corners, mm."""
        ...

    @property
    def faces(self) -> npt.NDArray[np.int64]:
        """Rows of three vertices."""
        ...


@dataclass(frozen=True, eq=False)
class Camera:
    """Orthographic: rows right, down and forward (into the picture) in the frame of the meshes; orthonormal.

    right × down = forward, so a picture is never a mirror image.
    """

    right: FloatArray
    down: FloatArray
    forward: FloatArray

    @classmethod
    def orbit(cls, azimuth_deg: float, elevation_deg: float) -> Self:
        """Look at the origin from a direction, z up.

        Parameters
        ----------
        azimuth_deg
            0 looks from +x, 90 from +y.
        elevation_deg
            90 looks straight down; the picture's right is then the direction at ``azimuth + 90``.
        """
        azimuth, elevation = np.deg2rad([azimuth_deg, elevation_deg])
        towards = np.array(
            [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
        )
        right = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
        return cls(right, np.cross(-towards, right), -towards)

    @property
    def matrix(self) -> FloatArray:
        """``(3, 3)`` camera from mesh frame."""
        return np.stack([self.right, self.down, self.forward])


@dataclass(frozen=True, eq=False)
class Body:
    """A mesh with its looks.

    Parameters
    ----------
    mesh
        Closed, wound outwards.
    colour
        RGB, 0 to 1.
    alpha
        Below 1 only its front surface is drawn, over what is opaque.
    cut
        ``(normal, offset)`` in the mesh's frame: what has ``normal · x > offset`` is cut away.
    shift
        Moves the body (an exploded view), in mm.
    """

    mesh: MeshLike
    colour: tuple[float, float, float]
    alpha: float = 1.0
    cut: tuple[npt.ArrayLike, float] | None = None
    shift: tuple[float, float, float] = field(default=(0.0, 0.0, 0.0))


@dataclass(frozen=True, eq=False)
class Rendered:
    """A picture and where it lies.

    Parameters
    ----------
    rgba
        ``(h, w, 4)`` float 0 to 1, straight alpha; nothing there is transparent.
    extent
        Left, right, bottom, top in camera mm, for ``imshow``.
    camera
        How it was looked at.
    """

    rgba: npt.NDArray[np.float32]
    extent: tuple[float, float, float, float]
    camera: Camera

    def trimmed(self, border: float = 0.03) -> Rendered:
        """Cut off empty margins (what was cut away leaves some), but for a border as a share of the larger side."""
        rows, columns = np.nonzero(self.rgba[..., 3] > 0.02)
        if not len(rows):
            return self
        height, width = self.rgba.shape[:2]
        pad = round(border * max(int(np.ptp(rows)), int(np.ptp(columns))))
        y = max(int(rows.min()) - pad, 0), min(int(rows.max()) + 1 + pad, height)
        x = max(int(columns.min()) - pad, 0), min(int(columns.max()) + 1 + pad, width)
        left, right, bottom, top = self.extent
        across, along = (right - left) / width, (bottom - top) / height
        extent = left + x[0] * across, left + x[1] * across, top + y[1] * along, top + y[0] * along
        return replace(self, rgba=self.rgba[y[0] : y[1], x[0] : x[1]], extent=extent)


Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Hits:
    """What is seen of one body: flat pixel, depth in mm and camera-space normal of every pixel it covers."""

    pixel: IntArray
    depth: Float32Array
    normal: Float32Array


def render(bodies: Sequence[Body], camera: Camera, *, width_px: int = 700, margin: float = 0.04) -> Rendered:
    """Draw bodies.

    Parameters
    ----------
    bodies
        In one frame, mm.
    camera
        Where to look from.
    width_px
        Width of the picture; the height follows from the bodies' extent.
    margin
        Border as a fraction of the larger side.

    Returns
    -------
    Rendered
        The picture with its extent in camera mm.
    """
    points = [(np.asarray(b.mesh.vertices) + b.shift) @ camera.matrix.T for b in bodies]
    low, high = np.vstack(points).min(axis=0), np.vstack(points).max(axis=0)
    border = margin * float((high - low)[:2].max())
    low, high = low - border, high + border
    scale = 2.0 * width_px / (high[0] - low[0])
    shape = 2 * max(1, round(0.5 * scale * (high[1] - low[1]))), 2 * width_px
    rgb, alpha = np.zeros((shape[0] * shape[1], 3), np.float32), np.zeros(shape[0] * shape[1], np.float32)
    behind = np.full(len(alpha), np.inf, np.float32)
    for body, xyz in sorted(zip(bodies, points, strict=True), key=lambda pair: -pair[0].alpha):
        hits = _hits(body, xyz, camera, low, scale, shape)
        front = hits.depth < behind[hits.pixel]
        pixel, paint = hits.pixel[front], _shade(hits, body.colour, 1.0 / scale, shape)[front]
        if body.alpha >= 1.0:
            rgb[pixel], alpha[pixel], behind[pixel] = paint, 1.0, hits.depth[front]
            continue
        # Glass: clearer where seen face-on, denser at grazing angles.
        cover = body.alpha + (1.0 - body.alpha) * 0.65 * (1.0 - np.abs(hits.normal[front, 2])) ** 2
        under = alpha[pixel] * (1.0 - cover)
        rgb[pixel] = (paint * cover[:, None] + rgb[pixel] * under[:, None]) / (cover + under)[:, None]
        alpha[pixel] = cover + under
    rgb, alpha = rgb.reshape(*shape, 3), alpha.reshape(shape)
    extent = float(low[0]), float(high[0]), float(low[1] + shape[0] / scale), float(low[1])
    return Rendered(_halve(rgb, alpha), extent, camera)


def _hits(body: Body, xyz: FloatArray, camera: Camera, low: FloatArray, scale: float, shape: tuple[int, int]) -> _Hits:
    """Find the nearest face at every pixel; cut surfaces get the cutting plane's depth and normal."""
    faces = np.asarray(body.mesh.faces, dtype=np.int64)
    screen = (xyz - low) * scale
    screen[:, :2] -= 0.5  # Pixel centres on integers.
    cut = None
    if body.cut is not None:
        normal = camera.matrix @ np.asarray(body.cut[0], dtype=np.float64)
        offset = body.cut[1] + float(np.dot(body.cut[0], body.shift))
        # normal · xyz > offset, said in screen pixels.
        cut = normal, scale * (offset - float(normal @ low)) - 0.5 * float(normal[:2].sum())
    corners = screen[faces]
    facing = _area2(corners)
    if cut is None:
        faces, corners, facing = faces[facing < 0], corners[facing < 0], facing[facing < 0]
    pixel, face, depth = rasterise(corners, shape, cut)
    y, x = np.divmod(pixel, shape[1])
    weights = barycentric(corners, face, x, y)
    normal_px = np.einsum("nc,ncd->nd", weights, _corner_normals(xyz, faces)[face])
    normal_px /= np.maximum(np.sqrt(np.einsum("nd,nd->n", normal_px, normal_px)), 1e-12)[:, None]
    if cut is not None:
        cap = facing[face] > 0
        if abs(cut[0][2]) > 1e-6:
            depth[cap] = (cut[1] - cut[0][0] * x[cap] - cut[0][1] * y[cap]) / cut[0][2]
        normal_px[cap] = cut[0]
    return _Hits(pixel, (depth / scale + low[2]).astype(np.float32), normal_px)


def _area2(corners: FloatArray) -> FloatArray:
    """Twice the signed screen area; negative for faces turned to the camera (y runs downwards)."""
    a, b = corners[:, 1, :2] - corners[:, 0, :2], corners[:, 2, :2] - corners[:, 0, :2]
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def rasterise(
    corners: FloatArray, shape: tuple[int, int], cut: tuple[FloatArray, float] | None = None
) -> tuple[IntArray, IntArray, FloatArray]:
    """Find the nearest triangle at every pixel centre.

    Parameters
    ----------
    corners
        ``(m, 3, 3)``: three corners of x, y (pixels, centres on integers) and depth (growing away).
    shape
        Height and width.
    cut
        ``(normal, offset)``: points with ``normal · (x, y, depth) > offset`` are not there.

    Returns
    -------
    tuple of ndarray
        Of every pixel covered: its flat index in row order, the index of its nearest triangle, that one's depth.
    """
    planes = _depth_planes(corners)
    z_low, z_high = (float(corners[..., 2].min()), float(corners[..., 2].max())) if len(corners) else (0.0, 1.0)
    step = (2.0**32 - 1.0) / max(z_high - z_low, 1e-9)
    nearest = np.full(shape[0] * shape[1], _NOTHING)
    for triangle, x, y in _fragments(corners, shape):
        a, b, c = planes[triangle].T
        z = a * x + b * y + c
        keep = np.isfinite(z)
        if cut is not None:
            keep &= cut[0][0] * x + cut[0][1] * y + cut[0][2] * z <= cut[1]
        key = np.clip((z[keep] - z_low) * step, 0.0, 2.0**32 - 1.0).astype(np.uint64) << np.uint64(32)
        np.minimum.at(nearest, (y * shape[1] + x)[keep], key | triangle[keep].astype(np.uint64))
    pixel = np.flatnonzero(nearest != _NOTHING)
    face = (nearest[pixel] & np.uint64(0xFFFFFFFF)).astype(np.int64)
    y, x = np.divmod(pixel, shape[1])
    here = planes[face]
    return pixel, face, here[:, 0] * x + here[:, 1] * y + here[:, 2]


def _depth_planes(corners: FloatArray) -> FloatArray:
    """Coefficients ``(m, 3)`` of depth = a x + b y + c; NaN for triangles seen edge-on."""
    ab, ac = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = _area2(corners)
    area = np.where(np.abs(area) > 1e-9, area, np.nan)
    a = (ab[:, 2] * ac[:, 1] - ac[:, 2] * ab[:, 1]) / area
    b = (ab[:, 0] * ac[:, 2] - ac[:, 0] * ab[:, 2]) / area
    return np.column_stack([a, b, corners[:, 0, 2] - a * corners[:, 0, 0] - b * corners[:, 0, 1]])


def barycentric(corners: FloatArray, face: IntArray, x: IntArray, y: IntArray) -> Float32Array:
    """Weigh the corners ``(n, 3)`` of the triangle each pixel lies in, clipped to the triangle."""
    flat = corners[:, :, :2]
    ab, ac, area = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0], _area2(corners)
    area = np.where(np.abs(area) > 1e-9, area, 1.0)
    rows = np.column_stack([flat[:, 0], ab / area[:, None], ac / area[:, None]])[face]
    dx, dy = x - rows[:, 0], y - rows[:, 1]
    weights = np.empty((len(face), 3), np.float32)
    weights[:, 1] = dx * rows[:, 5] - dy * rows[:, 4]
    weights[:, 2] = rows[:, 2] * dy - rows[:, 3] * dx
    weights[:, 0] = 1.0 - weights[:, 1] - weights[:, 2]
    return np.clip(weights, 0.0, 1.0, out=weights)


def _fragments(corners: FloatArray, shape: tuple[int, int]) -> Iterator[tuple[IntArray, IntArray, IntArray]]:
    """Yield ``(triangle, x, y)`` of the pixels triangles cover, a chunk at a time: spans by row, then by pixel."""
    y_low = np.clip(np.ceil(corners[..., 1].min(axis=1)), 0, shape[0]).astype(np.int64)
    y_high = np.clip(np.floor(corners[..., 1].max(axis=1)), -1, shape[0] - 1).astype(np.int64)
    triangle, y = _expand(y_low, np.maximum(y_high - y_low + 1, 0))
    left, right = np.full(len(y), np.inf), np.full(len(y), -np.inf)
    for first, second in ((0, 1), (1, 2), (2, 0)):
        a, b = corners[triangle, first, :2], corners[triangle, second, :2]
        rise = b[:, 1] - a[:, 1]
        t = np.divide(y - a[:, 1], rise, out=np.full(len(y), -1.0), where=rise != 0)
        meets = (t >= 0.0) & (t <= 1.0)
        x = a[:, 0] + t * (b[:, 0] - a[:, 0])
        left = np.where(meets, np.minimum(left, x), left)
        right = np.where(meets, np.maximum(right, x), right)
    inside = right >= left
    triangle, y, left, right = triangle[inside], y[inside], left[inside], right[inside]
    start = np.clip(np.ceil(left - 1e-7), 0, shape[1]).astype(np.int64)
    count = np.maximum(np.clip(np.floor(right + 1e-7), -1, shape[1] - 1).astype(np.int64) - start + 1, 0)
    ends = np.searchsorted(np.cumsum(count), np.arange(CHUNK, int(count.sum()) + CHUNK, CHUNK), side="right")
    at = 0
    for end in np.maximum.accumulate(np.maximum(ends, 1)):
        row, x_px = _expand(start[at:end], count[at:end])
        if len(row):
            yield triangle[at:end][row], x_px, y[at:end][row]
        at = int(end)


def _expand(start: IntArray, count: IntArray) -> tuple[IntArray, IntArray]:
    """Unroll ranges: the owner of each element, and the elements ``start, start + 1, …`` of every owner."""
    owner = np.repeat(np.arange(len(count)), count)
    first = np.repeat(np.cumsum(count) - count, count)
    return owner, np.repeat(start, count) + np.arange(len(owner)) - first


def _corner_normals(xyz: FloatArray, faces: IntArray) -> FloatArray:
    """Give normals ``(m, 3, 3)`` at the corners of every face: smooth over gentle bends, creased at sharp ones."""
    a, b, c = (xyz[faces[:, n]] for n in range(3))
    flat = np.cross(b - a, c - a)
    summed = np.stack(
        [np.bincount(faces.ravel(), np.repeat(flat[:, axis], 3), minlength=len(xyz)) for axis in range(3)], axis=1
    )
    unit = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    smooth = (summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-12))[faces]
    sharpest = np.ones(len(xyz))
    np.minimum.at(sharpest, faces.ravel(), np.einsum("mcd,md->mc", smooth, unit).ravel())
    return np.where((sharpest[faces] > CREASE)[..., None], smooth, unit[:, None, :]).astype(np.float32)


_KEY = (np.array([-0.45, -0.65, -0.62]) / np.linalg.norm([-0.45, -0.65, -0.62])).astype(np.float32)
_FILL = (np.array([0.75, -0.1, -0.65]) / np.linalg.norm([0.75, -0.1, -0.65])).astype(np.float32)
_HALF = ((_KEY + np.array([0.0, 0.0, -1.0])) / np.linalg.norm(_KEY + np.array([0.0, 0.0, -1.0]))).astype(np.float32)


def _shade(hits: _Hits, colour: tuple[float, float, float], pixel_mm: float, shape: tuple[int, int]) -> Float32Array:
    """Colour pixels: a key and a fill light, sky above, a dull gleam; hollows and edges darkened."""
    from scipy.ndimage import gaussian_filter, zoom

    normal = hits.normal
    key, fill = np.clip(normal @ _KEY, 0.0, 1.0), np.clip(normal @ _FILL, 0.0, 1.0)
    gleam = 0.10 * np.clip(normal @ _HALF, 0.0, 1.0) ** 24
    light = 0.33 + 0.20 * (0.5 - 0.5 * normal[:, 1]) + 0.50 * key + 0.20 * fill
    # Depth darkening (Luft, Colditz & Deussen 2006, doi:10.1145/1141911.1142016): deeper than its surroundings.
    depth = np.full(shape, hits.depth.max(initial=0.0), np.float32)
    depth.ravel()[hits.pixel] = hits.depth
    reach_mm = 0.02 * pixel_mm * max(shape)
    coarse = gaussian_filter(depth[::4, ::4], reach_mm / pixel_mm / 4.0)
    around = zoom(coarse, 4, order=1, mode="nearest", grid_mode=True)[: shape[0], : shape[1]]
    hollow = np.clip((depth - around).ravel()[hits.pixel] / (4.0 * reach_mm), 0.0, 0.35)
    dim = (1.0 - hollow) * (1.0 - 0.45 * _edges(hits, depth, pixel_mm))
    base = np.asarray(colour, np.float32)
    return np.clip(base * light[:, None] + gleam[:, None], 0.0, 1.0) * dim[:, None]


def _edges(hits: _Hits, depth: Float32Array, pixel_mm: float) -> Float32Array:
    """Where depth jumps or the surface bends sharply, 0 to 1, per pixel hit."""
    normal = np.zeros((depth.size, 3), np.float32)
    normal[hits.pixel] = hits.normal
    normal = normal.reshape(*depth.shape, 3)
    edge = np.zeros(depth.shape, np.float32)
    pairs = (
        ((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
    )
    for a, b in pairs:
        jump = np.abs(depth[a] - depth[b]) > 8.0 * pixel_mm
        bend = np.einsum("hwc,hwc->hw", normal[a], normal[b]) < 0.75
        strength = np.maximum(jump, np.float32(0.6) * bend)
        edge[a] = np.maximum(edge[a], strength)
        edge[b] = np.maximum(edge[b], strength)
    return edge.ravel()[hits.pixel]


def _halve(rgb: Float32Array, alpha: Float32Array) -> Float32Array:
    """Average 2 × 2 pixels, colours weighted by their cover."""
    h, w = alpha.shape
    cover = alpha.reshape(h // 2, 2, w // 2, 2).sum(axis=(1, 3))
    paint = (rgb * alpha[..., None]).reshape(h // 2, 2, w // 2, 2, 3).sum(axis=(1, 3))
    colour = np.divide(paint, cover[..., None], out=np.zeros_like(paint), where=cover[..., None] > 0)
    return np.concatenate([colour, cover[..., None] / 4.0], axis=2).astype(np.float32)
