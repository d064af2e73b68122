"""Images and masks that stand in a study twice under other names."""

from __future__ import annotations

import pandas as pd


def shared_images(cases: pd.DataFrame) -> list[str]:
    """Problems: images that two patients (guard 4) or two phases of a patient share, and masks that two readers share.

    Compared by content, in one order of axes, so that a copy under another name or in another format is found. One
    patient in two sets would make any validation worthless, one image under two phases doubles its features, and one
    mask under two readers makes every feature stable.
    """
    if "image_hash" not in cases:
        return []
    problems = []
    known = set()
    groups = [("image", same) for _, same in cases.dropna(subset=["image_hash"]).groupby("image_hash", sort=True)]
    if "tumour_hash" in cases:  # a copy whose border was cut off
        alike = cases.dropna(subset=["tumour_hash"]).groupby("tumour_hash", sort=True)
        groups += [("tumour, voxel by voxel", same) for _, same in alike]
    for what, same in groups:
        patients = sorted(same["patient_id"].astype(str).unique())
        phases = sorted(same["phase"].astype(str).unique())
        if (*patients, *phases) in known:
            continue
        known.add((*patients, *phases))
        if len(patients) > 1:
            problems.append(
                f"patients {' and '.join(patients)} have the same {what}: are they one patient? Keep one of them"
            )
        elif len(phases) > 1:
            problems.append(f"patient {patients[0]}: {' and '.join(phases)} are one image; correct the image manifest")
    if "mask_hash" in cases:
        drawn = cases.dropna(subset=["mask_hash"])
        for (patient, phase, _), same in drawn.groupby(["patient_id", "phase", "mask_hash"], sort=True):
            readers = sorted(same["reader"].astype(str).unique())
            if len(readers) > 1:
                problems.append(
                    f"patient {patient}: {phase}: {' and '.join(readers)} have the same mask, voxel by voxel; "
                    "give each reader's own, or leave the copy out of the image manifest"
                )
    return sorted(problems)
