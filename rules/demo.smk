"""The synthetic demo cohort: generated from a seed, labelled synthetic everywhere."""

DEMO = STUDY.get("demo")
if DEMO:

    localrules:
        demo_tables,

    rule demo_tables:
        """Clinical table, image manifest and truth of the generated cohort."""
        input:
            script="scripts/demo_tables.py",
            package=imports("scripts/demo_tables.py"),
        output:
            clinical=f"{INPUT}/clinical.csv",
            images=f"{INPUT}/images.csv",
            truth=f"{INPUT}/truth.csv",
        log:
            f"logs/{NAME}/demo_tables.log",
        conda:
            "../envs/imaging.yaml"
        params:
            seed=DEMO["seed"],
            patients=DEMO["patients_per_centre"],
        shell:
            "python {input.script} --seed {params.seed} --patients {params.patients}"
            " --clinical {output.clinical:q} --images {output.images:q} --truth {output.truth:q} > {log} 2>&1"

    rule demo_images:
        """Images and masks of one batch of generated patients."""
        input:
            images=f"{INPUT}/images.csv",
            truth=f"{INPUT}/truth.csv",
            script="scripts/demo_images.py",
            package=imports("scripts/demo_images.py"),
        output:
            done=f"{INPUT}/batch-{{batch}}.csv",
        log:
            f"logs/{NAME}/demo_images/{{batch}}.log",
        benchmark:
            f"benchmarks/{NAME}/demo_images/{{batch}}.tsv"
        conda:
            "../envs/imaging.yaml"
        resources:
            mem_mb=lambda wildcards, attempt: 1500 * attempt,
            runtime=lambda wildcards, attempt: 10 * attempt,
        params:
            seed=DEMO["seed"],
            batches=STUDY["batches"],
            folder=lambda wildcards, input: os.path.dirname(input.images),
        shell:
            "python {input.script} --images {input.images:q} --truth {input.truth:q} --seed {params.seed}"
            " --batch {wildcards.batch} --batches {params.batches} --output-dir {params.folder:q}"
            " --done {output.done:q} 2>&1 | tee {log} >&2"
