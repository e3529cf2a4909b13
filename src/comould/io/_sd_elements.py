"""Volumes and section pictures as SpatialData elements, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.io.section import Section
from comould.space import FloatArray, Grid, Transform

if TYPE_CHECKING:
    import SimpleITK as sitk
    from spatialdata import SpatialData

PATIENT = "patient"
"""Name of the coordinate system of the patient: mm, LPS."""

CORNER_PX = 0.5
"""SpatialData counts from the outer corner of the first pixel, comould from its centre."""

SMALLEST_SIDE = 256
"""A picture is halved until its longer side is below twice this."""

EDGE_ON = 1e-3
"""Least ratio of a plane's area seen from above to its true area for a viewer of two dimensions to show it."""

_XYZ = ("x", "y", "z")


def safe_name(text: str) -> str:
    """Turn a section's id into part of an element's name."""
    return "".join(c if c.isalnum() or c in "_-." else "_" for c in text)


def system_of(section_id: str) -> str:
    """Name the coordinate system of a section's full-resolution pixels."""
    return f"section:{section_id}"


def volume(image: sitk.Image, name: str) -> Any:
    """Make a 3-D image element of a scalar volume."""
    from spatialdata.models import Image3DModel

    array, affine = _array_and_affine(image, name)
    return Image3DModel.parse(array[None], dims=("c", "z", "y", "x"), transformations={PATIENT: affine})


def labels(image: sitk.Image, name: str) -> Any:
    """Make a 3-D labels element of a label map."""
    from spatialdata.models import Labels3DModel

    array, affine = _array_and_affine(image, name)
    if array.dtype.kind not in "iu":
        raise InputError(subject=f"label map {name!r}", expected="whole numbers", found=str(array.dtype))
    return Labels3DModel.parse(array, dims=("z", "y", "x"), transformations={PATIENT: affine})


def _array_and_affine(image: sitk.Image, name: str) -> tuple[npt.NDArray[Any], Any]:
    import SimpleITK as sitk
    from spatialdata.transformations import Affine

    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(
            subject=f"volume {name!r}",
            expected="3 dimensions and one value a voxel",
            found=f"{image.GetDimension()} and {image.GetNumberOfComponentsPerPixel()}",
        )
    matrix = Grid.from_image(image).matrix @ _shift(-CORNER_PX, 3)
    return sitk.GetArrayFromImage(image), Affine(matrix, input_axes=_XYZ, output_axes=_XYZ)


def load_volume(element: Any) -> sitk.Image:
    """Make an image on its grid in the patient again."""
    import SimpleITK as sitk
    from spatialdata.transformations import get_transformation

    affine: Any = get_transformation(element, to_coordinate_system=PATIENT)
    matrix = affine.to_affine_matrix(_XYZ, _XYZ) @ _shift(CORNER_PX, 3)
    array = np.asarray(element.data)
    array = array[0] if array.ndim == 4 else array
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(matrix[:3, 3].tolist())
    image.SetDirection((matrix[:3, :3] / spacing).ravel().tolist())
    return image


def _shift(by: float, dimensions: int) -> FloatArray:
    matrix = np.eye(dimensions + 1)
    matrix[:-1, -1] = by
    return matrix


def registration_record(transform: Transform | None) -> dict[str, Any]:
    """Say what is known of a section's way to the patient, as plain data."""
    if transform is None:
        return {"registration": "none", "patient_from_section_px": None}
    linear = transform.is_linear
    return {
        "registration": "linear" if linear else "deformable",
        "patient_from_section_px": transform.matrix.tolist() if linear else None,
    }


def patient_affine(transform: Transform | None, section_from_element: FloatArray) -> dict[str, Any]:
    """Give the affine (x, y → x, y, z) of a linear registration; nothing for others, or a plane seen edge-on."""
    from spatialdata.transformations import Affine

    if transform is None or not transform.is_linear:
        return {}
    whole = transform.matrix
    # Of three columns the third belongs to z, which is 0 on a section.
    matrix = np.vstack([whole[:3][:, [0, 1, 3]], [0.0, 0.0, 1.0]]) @ section_from_element
    across = np.linalg.norm(np.cross(matrix[:3, 0], matrix[:3, 1]))
    if abs(np.linalg.det(matrix[:2, :2])) < EDGE_ON * across:
        return {}
    return {PATIENT: Affine(matrix, input_axes=("x", "y"), output_axes=_XYZ)}


def section(one: Section, transform: Transform | None) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Make the picture element, the tissue element where there is one, and the record of a section."""
    from spatialdata.models import Image2DModel, Labels2DModel
    from spatialdata.transformations import Affine

    name = f"section_{safe_name(one.id)}"
    # Working pixels from their corner → full-resolution pixels from their corner → from their centre.
    section_from_element = np.diag([one.downsample, one.downsample, 1.0])
    section_from_element[:2, 2] = -CORNER_PX
    places = {
        system_of(one.id): Affine(section_from_element, input_axes=("x", "y"), output_axes=("x", "y")),
        **patient_affine(transform, section_from_element),
    }
    factors = _halvings(one.image.shape[0], one.image.shape[1])
    picture = Image2DModel.parse(
        np.ascontiguousarray(np.moveaxis(one.image, -1, 0)),
        dims=("c", "y", "x"),
        c_coords=["r", "g", "b"],
        scale_factors=factors or None,
        transformations=dict(places),
    )
    record = {
        "element": name,
        "pixel_size_um": one.pixel_size_um,
        "downsample": one.downsample,
        "plane_id": one.plane_id,
        "face": one.face,
        "offset_mm": one.offset_mm,
        "tissue": None,
    }
    if one.tissue is None:
        return {name: picture}, {}, record
    record["tissue"] = f"{name}_tissue"
    drawn = Labels2DModel.parse(one.tissue.astype(np.uint8), dims=("y", "x"), transformations=dict(places))
    return {name: picture}, {f"{name}_tissue": drawn}, record


def _halvings(height: int, width: int) -> list[int]:
    times = 0
    while max(height, width) >> times >= 2 * SMALLEST_SIDE and min(height, width) >> (times + 1) >= 1:
        times += 1
    return [2] * times


def load_section(data: SpatialData, section_id: str, record: dict[str, Any]) -> Section:
    """Make a section again."""
    tissue = record["tissue"]
    return Section(
        section_id,
        np.ascontiguousarray(np.moveaxis(_full(data.images[record["element"]]), 0, -1)),
        float(record["pixel_size_um"]),
        float(record["downsample"]),
        record["plane_id"],
        record["face"],
        float(record["offset_mm"]),
        None if tissue is None else _full(data.labels[tissue]).astype(bool),
    )


def _full(element: Any) -> npt.NDArray[Any]:
    """Load an element at its full size, multiscale or not."""
    if hasattr(element, "children") and element.children:
        element = next(iter(element["scale0"].ds.values()))
    return np.asarray(element.data)
