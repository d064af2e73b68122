"""Floor 3: pyradiomics features of every region, then separate training and held-out files."""

if IMAGES:

    rule features:
        input:
            cases="results/{study}/images/batch-{batch}.csv",
            script="scripts/features.py",
            package=imports("scripts/features.py"),
        output:
            features="results/{study}/features/batches/{batch}.parquet",
            exclusions="results/{study}/features/batches/excluded-{batch}.csv",
        log:
            "logs/{study}/features/{batch}.log",
        benchmark:
            "benchmarks/{study}/features/{batch}.tsv"
        conda:
            "../envs/imaging.yaml"
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
            runtime=lambda wildcards, attempt: 60 * attempt,
        params:
            extraction=json.dumps(IMAGES["extraction"], sort_keys=True),
            cache=STUDY["cache_dir"],
            phases=IMAGES["phases"],
        shell:
            "python {input.script} --cases {input.cases} --cache {params.cache:q}"
            " --extraction {params.extraction:q} --phases {params.phases} --output {output.features}"
            " --exclusions {output.exclusions} 2>&1 | tee {log} >&2"

    rule feature_table:
        input:
            batches=expand("results/{{study}}/features/batches/{batch}.parquet", batch=BATCHES),
            script="scripts/feature_table.py",
            package=imports("scripts/feature_table.py"),
        output:
            table="results/{study}/features/{reader}.parquet",
            manifest="results/{study}/features/{reader}.manifest.json",
        log:
            "logs/{study}/feature_table/{reader}.log",
        conda:
            "../envs/imaging.yaml"
        params:
            extraction=json.dumps(IMAGES["extraction"], sort_keys=True),
        shell:
            "python {input.script} --batches {input.batches} --reader {wildcards.reader}"
            " --extraction {params.extraction:q} --output {output.table} --manifest {output.manifest} > {log} 2>&1"

elif "features" in STUDY:

    rule import_features:
        input:
            table=STUDY["features"]["table"],
            repeat=only(STUDY["features"]["repeat"], STUDY["features"]["repeat"]),
            script="scripts/import_features.py",
            package=imports("scripts/import_features.py"),
        output:
            table="results/{study}/features/reader1.parquet",
            repeat="results/{study}/features/reader2.parquet",
            exclusions="results/{study}/features/excluded.csv",
        log:
            "logs/{study}/import_features.log",
        conda:
            "../envs/modelling.yaml"
        params:
            id=STUDY["features"]["id"],
            pattern=STUDY["features"]["pattern"],
            repeat=lambda wildcards, input: ["--repeat", *input.repeat] if input.repeat else [],
        shell:
            "python {input.script} --table {input.table:q} {params.repeat:q} --id {params.id:q}"
            " --pattern {params.pattern:q} --output {output.table} --repeat-output {output.repeat}"
            " --exclusions {output.exclusions} > {log} 2>&1"


rule analysis_set:
    input:
        assigned="results/{study}/cohort/assigned.csv",
        clinical="results/{study}/cohort/clinical.csv",
        endpoints="results/{study}/cohort/endpoints.csv",
        features=lambda wildcards: only(
            uses_features(wildcards.analysis),
            *expand("results/{{study}}/features/{reader}.parquet", reader=READERS),
        ),
        script="scripts/analysis_set.py",
        package=imports("scripts/analysis_set.py"),
    output:
        train_cohort="results/{study}/cohort/{analysis}/train.csv",
        train_features="results/{study}/features/{analysis}/train.parquet",
        train_repeats="results/{study}/features/{analysis}/train_repeats.parquet",
        heldout_cohort="results/{study}/cohort/{analysis}/heldout.csv",
        heldout_features="results/{study}/features/{analysis}/heldout.parquet",
    log:
        "logs/{study}/analysis_set/{analysis}.log",
    conda:
        "../envs/modelling.yaml"
    params:
        endpoint=lambda wildcards: STUDY["analyses"][wildcards.analysis]["endpoint"],
        competing=lambda wildcards: "--competing" if competing_death(wildcards.analysis) else "",
        subset=lambda wildcards: feature_subset(wildcards.analysis),
    shell:
        "python {input.script} --analysis {wildcards.analysis} --endpoint {params.endpoint} {params.competing}"
        " --subset {params.subset:q} --assigned {input.assigned} --clinical {input.clinical}"
        " --endpoints {input.endpoints} --features {input.features}"
        " --train-cohort {output.train_cohort} --train-features {output.train_features}"
        " --train-repeats {output.train_repeats} --heldout-cohort {output.heldout_cohort}"
        " --heldout-features {output.heldout_features} > {log} 2>&1"
