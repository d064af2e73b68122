"""Floor 2: regions are made here (scripts/recur/images/regions.py: `rim`), and nowhere else."""

if IMAGES:

    localrules:
        acquisition,

    rule inventory:
        """Images and masks of one batch, with fingerprints that change when a file does."""
        input:
            manifest=IMAGES["manifest"],
            assigned="results/{study}/cohort/assigned.csv",
            made=only(IMAGES_MADE, f"{INPUT}/batch-{{batch}}.csv"),
            script="scripts/inventory.py",
            package=imports("scripts/inventory.py"),
        output:
            "results/{study}/images/inventory/batch-{batch}.csv",
        log:
            "logs/{study}/inventory/{batch}.log",
        benchmark:
            "benchmarks/{study}/inventory/{batch}.tsv"
        conda:
            "../envs/imaging.yaml"
        params:
            batches=STUDY["batches"],
            phases=IMAGES["phases"],
            readers=IMAGES["readers"],
            sheet=["--sheet", IMAGES["sheet"]] if IMAGES["sheet"] else [],
            root=lambda wildcards, input: IMAGES["root"] or os.path.dirname(input.manifest) or ".",
            # changed images are seen at the next start; generated ones are followed through `made`
            fingerprint=lambda wildcards: image_fingerprints()[int(wildcards.batch)],
        shell:
            "python {input.script} --manifest {input.manifest:q} {params.sheet:q} --root {params.root:q}"
            " --assigned {input.assigned} --phases {params.phases} --readers {params.readers}"
            " --batch {wildcards.batch} --batches {params.batches} --output {output} > {log} 2>&1"

    rule cases:
        """Images and regions of one batch in one grid a case: tumour, rim, liver."""
        input:
            inventory="results/{study}/images/inventory/batch-{batch}.csv",
            script="scripts/cases.py",
            package=imports("scripts/cases.py"),
        output:
            cases="results/{study}/images/batch-{batch}.csv",
            regions="results/{study}/images/regions/batch-{batch}.csv",
            acquisition="results/{study}/images/acquisition/batch-{batch}.csv",
            pictures=directory("results/{study}/images/qc/batch-{batch}"),
        log:
            "logs/{study}/cases/{batch}.log",
        benchmark:
            "benchmarks/{study}/cases/{batch}.tsv"
        conda:
            "../envs/imaging.yaml"
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
            runtime=lambda wildcards, attempt: 20 * attempt,
        params:
            regions=json.dumps(settings.case_settings(STUDY), sort_keys=True),
            cache=STUDY["cache_dir"],
            batches=STUDY["batches"],
            synthetic="--synthetic" if STUDY["synthetic"] else "",
        shell:
            "python {input.script} --inventory {input.inventory} --regions {params.regions:q}"
            " --batch {wildcards.batch} --batches {params.batches}"
            " --cache {params.cache:q} --output {output.cases} --regions-table {output.regions}"
            " --acquisition {output.acquisition} --qc {output.pictures} {params.synthetic}"
            " 2>&1 | tee {log} >&2"

    rule acquisition:
        """Of the DICOM headers only what is listed in scripts/recur/images/acquisition.py."""
        input:
            batches=expand("results/{{study}}/images/acquisition/batch-{batch}.csv", batch=BATCHES),
            assigned="results/{study}/cohort/assigned.csv",
            script="scripts/acquisition.py",
            package=imports("scripts/acquisition.py"),
        output:
            "results/{study}/images/acquisition.csv",
        log:
            "logs/{study}/acquisition.log",
        conda:
            "../envs/imaging.yaml"
        shell:
            "python {input.script} --batches {input.batches} --assigned {input.assigned} --output {output} > {log} 2>&1"


if IMAGES and len(READERS) > 1:

    rule mask_agreement:
        """Overlap and surface distances of the readers' tumour masks, from the cached label maps."""
        input:
            cases=expand("results/{{study}}/images/batch-{batch}.csv", batch=BATCHES),
            script="scripts/mask_agreement.py",
            package=imports("scripts/mask_agreement.py"),
        output:
            masks="results/{study}/diagnostic/masks.csv",
            summary="results/{study}/diagnostic/mask_summary.csv",
        log:
            "logs/{study}/mask_agreement.log",
        benchmark:
            "benchmarks/{study}/mask_agreement.tsv"
        conda:
            "../envs/imaging.yaml"
        params:
            cache=STUDY["cache_dir"],
        shell:
            "python {input.script} --cases {input.cases} --cache {params.cache:q} --output {output.masks}"
            " --summary {output.summary} > {log} 2>&1"
