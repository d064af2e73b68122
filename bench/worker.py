"""One tool on one patient (tumour and rim, two phases) or one region, once for every line read: worker.py TOOL CASE."""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

PHASES, REGIONS = ("art", "pv"), ("tumour", "rim")
SIGMAS = [1.0, 3.0, 5.0]
CLASSES = ("shape", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
Run = Callable[[], dict[str, float]]


def peak_mib() -> float:
    """Peak memory of this program, MiB. Not getrusage: its maximum starts at what the parent had when it forked."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024


def ours(case: Path) -> Run:
    """The project's own way from the files: make_case (its own rim) and extract_case."""
    extract = our_extractor()

    def run():
        values = {}
        for phase in PHASES:
            values |= {f"{phase}_{name}": value for name, value in extract(case, phase).items()}
        return values

    return run


def our_extractor() -> Callable[[Path, str], dict[str, float]]:
    """The features of both regions in one phase of a case."""
    root = Path(__file__).resolve().parents[1]
    sys.path.insert(0, str(root / "scripts"))
    from recur.features.compiled import compile_kernels

    compile_kernels(root / "results" / "bench" / "numba")
    from recur.features.extract import extract_case
    from recur.images.case import make_case

    extraction = {
        "spacing_mm": [1, 1, 1],
        "bin_width": 25,
        "image_types": ["Original", "Wavelet", "LoG"],
        "log_sigma_mm": SIGMAS,
        "feature_set": "full851",
        "interpolator": "sitkBSpline",
        "pad_distance": 10,
    }

    def extract(case: Path, phase: str) -> dict[str, float]:
        row = {"image": str(case / f"{phase}.nii.gz"), "mask": str(case / "tumour.nii.gz")}
        return extract_case(make_case(row, {"rim_mm": 10}), extraction)

    return extract


def pyradiomics(case: Path) -> Run:
    """Plain execute() calls; images as float32, because ITK truncates integers that it resamples."""
    import logging

    import SimpleITK as sitk
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    logging.getLogger("radiomics").setLevel(logging.CRITICAL + 1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    extractor = RadiomicsFeatureExtractor(
        binWidth=25, resampledPixelSpacing=[1, 1, 1], interpolator="sitkBSpline", padDistance=10, geometryTolerance=1e-4
    )
    extractor.disableAllImageTypes()
    for kind in ("Original", "Wavelet", "LoG"):
        extractor.enableImageTypeByName(kind, customArgs={"sigma": SIGMAS} if kind == "LoG" else None)
    extractor.enabledFeatures = {name: [] for name in CLASSES}

    def run():
        values = {}
        for phase in PHASES:
            for region in REGIONS:
                image = sitk.ReadImage(case / f"{phase}.nii.gz", sitk.sitkFloat32)
                found = extractor.execute(image, str(case / f"{region}.nii.gz"))
                values |= {f"{phase}_{region}_{k}": float(v) for k, v in found.items() if not k.startswith("diag")}
        return values

    return run


def _each(case: Path, extract: Callable[[str, str], object]) -> Run:
    def run():
        for phase in PHASES:
            for region in REGIONS:
                extract(str(case / f"{phase}.nii.gz"), str(case / f"{region}.nii.gz"))
        return {}

    return run


def flash(case: Path) -> Run:
    from flash_radiomics import RadiomicsFeatureExtractor

    settings = {
        "binWidth": 25,
        "resampledPixelSpacing": [1, 1, 1],
        "interpolator": "sitkBSpline",
        "padDistance": 10,
        "geometryTolerance": 1e-4,
        "preCrop": True,
        "additionalInfo": True,
    }
    images = {"Original": {}, "Wavelet": {}, "LoG": {"sigma": SIGMAS}}
    extractor = RadiomicsFeatureExtractor(
        {"setting": settings, "imageType": images, "scalarFeatureClass": {name: [] for name in CLASSES}},
        backend="cpu",
        num_threads=1,
    )
    output = case / f"flash-{os.getpid()}.h5"

    def extract(image, mask):
        extractor.execute(
            image, mask, label=1, output_hdf5_path=str(output), case_id="case", roi_id="roi", roi_name="roi"
        )
        output.unlink()

    return _each(case, extract)


def pictologics(case: Path) -> Run:
    import pictologics
    from pictologics import RadiomicsPipeline

    pictologics.set_num_threads(1)
    pipeline = RadiomicsPipeline()
    resample = {"step": "resample", "params": {"new_spacing": [1, 1, 1], "interpolation": "cubic"}}
    limits = {"step": "resegment", "params": {"range_min": -3000, "range_max": 5000}}
    bins = {"step": "discretise", "params": {"method": "FBS", "bin_width": 25.0}}
    filters = {"original": []}
    for band in ("".join((a, b, c)) for a in "LH" for b in "LH" for c in "LH"):
        wavelet = {"type": "wavelet", "wavelet": "coif1", "decomposition": band, "boundary": "mirror"}
        filters[f"wavelet-{band}"] = [{"step": "filter", "params": wavelet}]
    for sigma in SIGMAS:
        log = {"type": "log", "sigma_mm": sigma, "boundary": "mirror"}
        filters[f"log-{sigma:g}"] = [{"step": "filter", "params": log}]
    for name, steps in filters.items():
        families = ["morphology"] * (name == "original") + ["intensity", "texture"]
        wanted = {"families": families, "include_spatial_intensity": False, "include_local_intensity": False}
        pipeline.add_config(name, [resample, *steps, limits, bins, {"step": "extract_features", "params": wanted}])
    return _each(
        case, lambda image, mask: pipeline.run(image=image, mask=mask, subject_id="x", config_names=list(filters))
    )


def mirp(case: Path) -> Run:
    import logging

    logging.disable(logging.CRITICAL)
    from mirp import extract_features

    textures = ["statistics", "glcm", "glrlm", "glszm", "ngtdm", "ngldm"]
    settings = {
        "new_spacing": 1.0,
        "base_discretisation_method": "fixed_bin_size",
        "base_discretisation_bin_width": 25.0,
        "resegmentation_intensity_range": [-3000.0, 5000.0],
        "response_map_discretisation_method": "fixed_bin_size",
        "response_map_discretisation_bin_width": 25.0,
        "glcm_spatial_method": "3d_average",
        "glrlm_spatial_method": "3d_average",
        "glszm_spatial_method": "3d",
        "ngtdm_spatial_method": "3d",
        "ngldm_spatial_method": "3d",
        "base_feature_families": ["morphological", *textures],
        "response_map_feature_families": textures,
        "filter_kernels": ["separable_wavelet", "laplacian_of_gaussian"],
        "separable_wavelet_families": "coif1",
        "separable_wavelet_set": "all",
        "separable_wavelet_rotation_invariance": False,
        "laplacian_of_gaussian_sigma": SIGMAS,
        "boundary_condition": "mirror",
    }
    return _each(case, lambda image, mask: extract_features(image=image, mask=mask, image_modality="CT", **settings))


def nyxus(case: Path) -> Run:
    import nyxus

    tool = nyxus.Nyxus3D(["*3D_ALL*"], n_feature_calc_threads=1)
    return _each(case, lambda image, mask: tool.featurize_files([image], [mask], True))


TOOLS = {f.__name__: f for f in (ours, pyradiomics, flash, pictologics, mirp, nyxus)}


def used() -> float:
    """CPU seconds of this process and its children."""
    return sum(
        u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def main() -> None:
    tool, case = sys.argv[1], Path(sys.argv[2])
    run = TOOLS[tool](case)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), used()
        values = run()
        answer = {"wall": time.perf_counter() - wall, "cpu": used() - cpu}
        answer["peak_mib"] = peak_mib()
        if values:
            (case / f"{tool}.json").write_text(json.dumps(values))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
