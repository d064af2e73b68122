"""Outcomes redrawn on the cached features of the generated cohort: noise must stay noise, signal must show."""

NULL = STUDY.get("null_study")
if NULL:
    NULL_RUNS = {"none": NULL["runs"], "clinical_only": NULL["runs"], "full": NULL["signal_runs"]}
    NULL_CHUNK = 5

    localrules:
        null_table,

    rule null_table:
        input:
            script="scripts/demo_tables.py",
            package=imports("scripts/demo_tables.py"),
        output:
            clinical=STUDY["clinical"]["table"],
            images=temp(f"{RESULTS}/input/images.csv"),
            truth=temp(f"{RESULTS}/input/truth.csv"),
        log:
            f"logs/{NAME}/null_table.log",
        conda:
            "../envs/imaging.yaml"
        params:
            seed=STUDY["seed"],
        shell:
            "python {input.script} --seed {params.seed} --redraw-seed {params.seed} --signal none"
            " --clinical {output.clinical:q} --images {output.images:q} --truth {output.truth:q} > {log} 2>&1"

    rule redraw:
        input:
            truth=NULL["truth"],
            clinical=NULL["clinical"],
            features=expand("results/{{study}}/features/{reader}.parquet", reader=READERS),
            study="results/{study}/settings/cohort.json",
            settings=f"results/{{study}}/settings/{ANALYSES[0]}/fit.json",
            script="scripts/redraw.py",
            package=imports("scripts/redraw.py"),
        output:
            "results/{study}/validation/redraws/{signal}-{chunk}.csv",
        log:
            "logs/{study}/redraw/{signal}-{chunk}.log",
        benchmark:
            "benchmarks/{study}/redraw/{signal}-{chunk}.tsv"
        wildcard_constraints:
            signal="|".join(NULL_RUNS),
        conda:
            "../envs/modelling.yaml"
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
            runtime=lambda wildcards, attempt: 60 * attempt,
        params:
            seeds=lambda wildcards: list(range(NULL_RUNS[wildcards.signal]))[
                int(wildcards.chunk) * NULL_CHUNK : (int(wildcards.chunk) + 1) * NULL_CHUNK
            ],
        shell:
            "python {input.script} --truth {input.truth:q} --clinical {input.clinical:q} --features {input.features}"
            " --study {input.study} --settings {input.settings} --signal {wildcards.signal}"
            " --seeds {params.seeds} --output {output} 2>&1 | tee {log} >&2"

    rule null:
        input:
            tables=lambda wildcards: [
                f"results/{wildcards.study}/validation/redraws/{signal}-{chunk}.csv"
                for signal, runs in NULL_RUNS.items()
                for chunk in range(-(-runs // NULL_CHUNK))
            ],
            script="scripts/null.py",
            package=imports("scripts/null.py"),
        output:
            null="results/{study}/validation/null.csv",
            variants="results/{study}/validation/redraws.csv",
            summary="results/{study}/validation/null_summary.csv",
        log:
            "logs/{study}/null.log",
        benchmark:
            "benchmarks/{study}/null.tsv"
        conda:
            "../envs/modelling.yaml"
        shell:
            "python {input.script} --tables {input.tables} --null {output.null} --variants {output.variants}"
            " --summary {output.summary} > {log} 2>&1"
