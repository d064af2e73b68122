"""Floor 1: who is in train, test or external, fixed before any image is read; then the rows of every analysis."""


localrules:
    assign_cohorts,
    follow_up,
    patients,
    scores,


rule assign_cohorts:
    """Who is in train, test or external, and every endpoint of every patient; before any image is read."""
    input:
        table=STUDY["clinical"]["table"],
        visits=only("visits" in STUDY["clinical"], STUDY["clinical"].get("visits", {}).get("table")),
        study="results/{study}/settings/cohort.json",
        script="scripts/assign_cohorts.py",
        package=imports("scripts/assign_cohorts.py"),
        schemas=["schemas/study.schema.yaml", "schemas/images.schema.yaml"],
    output:
        assigned="results/{study}/cohort/assigned.csv",
        clinical="results/{study}/cohort/clinical.csv",
        endpoints="results/{study}/cohort/endpoints.csv",
        exclusions="results/{study}/cohort/excluded_from_table.csv",
        missing_endpoints="results/{study}/cohort/missing_endpoints.csv",
        surveillance="results/{study}/cohort/surveillance.csv",
    log:
        "logs/{study}/assign_cohorts.log",
    conda:
        "../envs/modelling.yaml"
    shell:
        "python {input.script} --study {input.study} --assigned {output.assigned}"
        " --clinical {output.clinical} --endpoints {output.endpoints} --exclusions {output.exclusions}"
        " --missing-endpoints {output.missing_endpoints}"
        " --surveillance {output.surveillance} > {log} 2>&1"


rule scores:
    """Published scores of every patient, from the formulas in scores/."""
    input:
        clinical="results/{study}/cohort/clinical.csv",
        study="results/{study}/settings/comparators.json",
        cases=only(IMAGES, *expand("results/{{study}}/images/batch-{batch}.csv", batch=BATCHES)),
        formulas=sorted(str(path) for path in Path("scores").glob("*.yaml")),
        schema="schemas/score.schema.yaml",
        script="scripts/scores.py",
        package=imports("scripts/scores.py"),
    output:
        scores="results/{study}/cohort/scores.csv",
        notes="results/{study}/cohort/score_notes.csv",
    log:
        "logs/{study}/scores.log",
    conda:
        "../envs/modelling.yaml"
    params:
        cases=lambda wildcards, input: (
            ["--cases", *input.cases, "--phase", IMAGES["phases"][0], "--reader", READERS[0]]
            if input.cases
            else []
        ),
    shell:
        "python {input.script} --study {input.study} --clinical {input.clinical} {params.cases}"
        " --scores {output.scores} --notes {output.notes} > {log} 2>&1"


rule patients:
    """Every patient and every exclusion with its reason, and the flow of the whole study."""
    input:
        assigned="results/{study}/cohort/assigned.csv",
        endpoints="results/{study}/cohort/endpoints.csv",
        exclusions=[
            "results/{study}/cohort/excluded_from_table.csv",
            *only(
                IMAGES,
                *expand("results/{{study}}/features/batches/excluded-{batch}.csv", batch=BATCHES),
            ),
            *only("features" in STUDY, "results/{study}/features/excluded.csv"),
        ],
        cases=only(IMAGES, *expand("results/{{study}}/images/batch-{batch}.csv", batch=BATCHES)),
        features=only(
            IMAGES or "features" in STUDY, f"results/{{study}}/features/{READERS[0]}.parquet"
        ),
        script="scripts/patients.py",
        package=imports("scripts/patients.py"),
    output:
        patients="results/{study}/cohort/patients.csv",
        exclusions="results/{study}/cohort/exclusions.csv",
        flow="results/{study}/cohort/flow.csv",
    log:
        "logs/{study}/patients.log",
    conda:
        "../envs/modelling.yaml"
    params:
        cases=option("cases"),
        features=option("features"),
    shell:
        "python {input.script} --assigned {input.assigned} --endpoints {input.endpoints}"
        " --exclusions {input.exclusions} {params.cases} {params.features} --patients {output.patients}"
        " --merged {output.exclusions} --flow {output.flow} > {log} 2>&1"


rule analysis_set:
    """Clinical data, endpoint and features joined by patient: training and held-out rows in separate files."""
    input:
        assigned="results/{study}/cohort/assigned.csv",
        clinical="results/{study}/cohort/clinical.csv",
        endpoints="results/{study}/cohort/endpoints.csv",
        missing_endpoints="results/{study}/cohort/missing_endpoints.csv",
        scores=only("comparators" in STUDY, "results/{study}/cohort/scores.csv"),
        features=lambda wildcards: only(
            uses_features(wildcards.analysis),
            *expand(
                "results/{{study}}/features/{table}.parquet",
                table=facts.reading_tables(STUDY, wildcards.analysis),
            ),
        ),
        script="scripts/analysis_set.py",
        package=imports("scripts/analysis_set.py"),
    output:
        train_cohort="results/{study}/cohort/{analysis}/train.csv",
        train_features="results/{study}/features/{analysis}/train.parquet",
        train_repeats="results/{study}/features/{analysis}/train_repeats.parquet",
        heldout_cohort="results/{study}/cohort/{analysis}/heldout.csv",
        heldout_features="results/{study}/features/{analysis}/heldout.parquet",
        excluded="results/{study}/cohort/{analysis}/excluded.csv",
    log:
        "logs/{study}/analysis_set/{analysis}.log",
    benchmark:
        "benchmarks/{study}/analysis_set/{analysis}.tsv"
    conda:
        "../envs/modelling.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
    params:
        endpoint=lambda wildcards: STUDY["analyses"][wildcards.analysis]["endpoint"],
        competing=lambda wildcards: only(
            analyses.has_competing_death(STUDY, wildcards.analysis), "--competing"
        ),
        follow_up=lambda wildcards: analyses.follow_up_option(STUDY, wildcards.analysis),
        scores=option("scores"),
        subset=lambda wildcards: json.dumps(settings.feature_subset(STUDY, wildcards.analysis)),
        complete=only("features" in STUDY, "--complete"),
        tumour=json.dumps(settings.tumour_settings(STUDY)),
    shell:
        "python {input.script} --analysis {wildcards.analysis} --endpoint {params.endpoint} {params.competing}"
        " --missing-endpoints {input.missing_endpoints}"
        " {params.follow_up} {params.scores} {params.complete}"
        " --subset {params.subset:q} --tumour {params.tumour:q} --assigned {input.assigned} --clinical {input.clinical}"
        " --endpoints {input.endpoints} --features {input.features}"
        " --train-cohort {output.train_cohort} --train-features {output.train_features}"
        " --train-repeats {output.train_repeats} --heldout-cohort {output.heldout_cohort}"
        " --heldout-features {output.heldout_features} --excluded {output.excluded} > {log} 2>&1"


rule table1:
    """Table 1, the balance of the parts and the flow of an analysis."""
    input:
        unpack(both_cohorts),
        excluded="results/{study}/cohort/{analysis}/excluded.csv",
        exclusions="results/{study}/cohort/exclusions.csv",
        flow="results/{study}/cohort/flow.csv",
        clinical="results/{study}/settings/clinical.json",
        script="scripts/table1.py",
        package=imports("scripts/table1.py"),
    output:
        table="results/{study}/cohort/{analysis}/table1.csv",
        balance="results/{study}/cohort/{analysis}/balance.csv",
        flow="results/{study}/cohort/{analysis}/flow.csv",
    log:
        "logs/{study}/table1/{analysis}.log",
    benchmark:
        "benchmarks/{study}/table1/{analysis}.tsv"
    conda:
        "../envs/modelling.yaml"
    params:
        labels=labels,
    shell:
        "python {input.script} --train {input.train} --heldout {input.heldout}"
        " --clinical {input.clinical} --labels {params.labels:q} --output {output.table}"
        " --balance {output.balance} --study-flow {input.flow} --exclusions {input.exclusions}"
        " --excluded {input.excluded} --flow {output.flow} > {log} 2>&1"


rule follow_up:
    """How long the patients of an analysis were followed."""
    input:
        unpack(both_cohorts),
        script="scripts/follow_up.py",
        package=imports("scripts/follow_up.py"),
    output:
        "results/{study}/cohort/{analysis}/follow_up.csv",
    log:
        "logs/{study}/follow_up/{analysis}.log",
    conda:
        "../envs/modelling.yaml"
    params:
        labels=labels,
    shell:
        "python {input.script} --cohorts {input.train} {input.heldout} --labels {params.labels:q}"
        " --output {output} > {log} 2>&1"
