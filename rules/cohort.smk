"""Floor 1: who is in train, test or external, fixed before any image is read."""


localrules:
    check,
    assign_cohorts,
    follow_up,
    patients,
    scores,


rule check:
    input:
        series=only("public" in STUDY, f"{INPUT}/series.csv"),  # shows what would be fetched
        script="scripts/check.py",
    log:
        "logs/{study}/check.log".format(study=NAME),
    conda:
        "../envs/modelling.yaml"
    params:
        study=STUDY_FILE,
    shell:
        "python {input.script} --study {params.study:q} 2>&1 | tee {log} >&2"


rule assign_cohorts:
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
        cases=lambda wildcards, input: ["--cases", *input.cases] if input.cases else [],
        features=lambda wildcards, input: ["--features", *input.features] if input.features else [],
    shell:
        "python {input.script} --assigned {input.assigned} --endpoints {input.endpoints}"
        " --exclusions {input.exclusions} {params.cases} {params.features} --patients {output.patients}"
        " --merged {output.exclusions} --flow {output.flow} > {log} 2>&1"


rule table1:
    input:
        train="results/{study}/cohort/{analysis}/train.csv",
        heldout="results/{study}/cohort/{analysis}/heldout.csv",
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
    input:
        train="results/{study}/cohort/{analysis}/train.csv",
        heldout="results/{study}/cohort/{analysis}/heldout.csv",
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
