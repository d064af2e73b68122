"""A public cohort: its series chosen from an index that needs no network, fetched, and listed in an image manifest."""

PUBLIC = STUDY.get("public")
if PUBLIC:

    # nodes of a cluster have no internet
    localrules:
        select_series,
        download_series,
        image_manifest,

    rule select_series:
        """Which series of the public collection are fetched, from an index that needs no network."""
        input:
            assigned=f"{RESULTS}/cohort/assigned.csv",
            script="scripts/select_series.py",
            package=imports("scripts/select_series.py"),
        output:
            f"{INPUT}/series.csv",
        log:
            f"logs/{NAME}/select_series.log",
        conda:
            "../envs/download.yaml"
        params:
            collection=PUBLIC["collection"],
            modality=IMAGES["modality"],
            folder=IMAGES["root"],
            limit=(
                ["--max-patients", str(PUBLIC["max_patients"])] if PUBLIC["max_patients"] else []
            ),
        shell:
            "python {input.script} --collection {params.collection:q} --assigned {input.assigned}"
            " --modality {params.modality} {params.limit} --folder {params.folder:q} --output {output:q}"
            " 2>&1 | tee {log} >&2"

    rule download_series:
        """The chosen series of one batch of patients, fetched."""
        input:
            series=f"{INPUT}/series.csv",
            script="scripts/download_series.py",
            package=imports("scripts/download_series.py"),
        output:
            f"{INPUT}/batch-{{batch}}.csv",
        log:
            f"logs/{NAME}/download_series/{{batch}}.log",
        benchmark:
            f"benchmarks/{NAME}/download_series/{{batch}}.tsv"
        conda:
            "../envs/download.yaml"
        params:
            batches=STUDY["batches"],
            folder=IMAGES["root"],
        shell:
            "python {input.script} --series {input.series:q} --folder {params.folder:q}"
            " --batch {wildcards.batch} --batches {params.batches} --output {output:q} 2>&1 | tee {log} >&2"

    rule image_manifest:
        """The fetched series as an image manifest, with the phase that each shows."""
        input:
            downloaded=expand("{folder}/batch-{batch}.csv", folder=INPUT, batch=BATCHES),
            script="scripts/image_manifest.py",
            package=imports("scripts/image_manifest.py"),
        output:
            manifest=IMAGES["manifest"],
            left_out=f"{INPUT}/left_out.csv",
        log:
            f"logs/{NAME}/image_manifest.log",
        conda:
            "../envs/imaging.yaml"
        params:
            root=IMAGES["root"],
            public=json.dumps(PUBLIC, sort_keys=True),
            phases=IMAGES["phases"],
        shell:
            "python {input.script} --downloaded {input.downloaded:q} --root {params.root:q}"
            " --public {params.public:q} --phases {params.phases} --output {output.manifest:q}"
            " --left-out {output.left_out:q} 2>&1 | tee {log} >&2"
