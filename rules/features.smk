"""Floor 3: features of every region, of its variants, or from a ready table."""

if IMAGES:

    rule features:
        """Features of every region of one batch of cases."""
        input:
            cases="results/{study}/images/batch-{batch}.csv",
            script="scripts/features.py",
            package=imports("scripts/features.py"),
        output:
            features="results/{study}/features/batches/{batch}.parquet",
            exclusions="results/{study}/features/batches/excluded-{batch}.csv",
            missing="results/{study}/features/batches/missing-{batch}.csv",
        log:
            "logs/{study}/features/{batch}.log",
        benchmark:
            "benchmarks/{study}/features/{batch}.tsv"
        conda:
            "../envs/imaging.yaml"
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
            runtime=lambda wildcards, attempt: 30 * attempt,
        params:
            settings=json.dumps(settings.feature_settings(STUDY), sort_keys=True),
            cache=STUDY["cache_dir"],
            aggregate=IMAGES["lesion_aggregate"],
        shell:
            "python {input.script} --cases {input.cases} --cache {params.cache:q} --aggregate {params.aggregate}"
            " --settings {params.settings:q} --output {output.features} --exclusions {output.exclusions}"
            " --missing {output.missing} 2>&1 | tee {log} >&2"

    rule feature_table:
        """One table of features a reader, with the manifest of the extraction."""
        input:
            batches=expand("results/{{study}}/features/batches/{batch}.parquet", batch=BATCHES),
            script="scripts/feature_table.py",
            package=imports("scripts/feature_table.py"),
        output:
            table="results/{study}/features/{reader}.parquet",
            manifest="results/{study}/features/{reader}.manifest.json",
        log:
            "logs/{study}/feature_table/{reader}.log",
        benchmark:
            "benchmarks/{study}/feature_table/{reader}.tsv"
        conda:
            "../envs/imaging.yaml"
        params:
            settings=json.dumps(settings.feature_settings(STUDY), sort_keys=True),
        shell:
            "python {input.script} --batches {input.batches} --reader {wildcards.reader}"
            " --settings {params.settings:q} --output {output.table} --manifest {output.manifest} > {log} 2>&1"

    rule ibsi_self_test:
        """The phantom with published values: do the installed libraries compute what they should?"""
        input:
            script="scripts/ibsi_self_test.py",
            package=imports("scripts/ibsi_self_test.py"),
        output:
            "results/{study}/features/ibsi_self_test.csv",
        log:
            "logs/{study}/ibsi_self_test.log",
        benchmark:
            "benchmarks/{study}/ibsi_self_test.tsv"
        conda:
            "../envs/imaging.yaml"
        params:
            # not of the study: where it is not, the report says that nothing was tested
            phantom=only(
                facts.reference_data(),
                "--phantom",
                f"{facts.reference_data()}/ibsi1_digital_phantom",
            ),
            engine=IMAGES["extraction"]["engine"],
            cache=STUDY["cache_dir"],
        shell:
            "python {input.script} {params.phantom:q} --engine {params.engine} --cache {params.cache:q}"
            " --output {output} > {log} 2>&1"

    rule variant_features:
        """Perturbed readings of some training patients, and negative controls of all patients."""
        input:
            cases="results/{study}/images/batch-{batch}.csv",
            assigned="results/{study}/cohort/assigned.csv",
            script="scripts/variant_features.py",
            package=imports("scripts/variant_features.py"),
        output:
            features="results/{study}/features/variants/{variant}/{batch}.parquet",
            exclusions="results/{study}/features/variants/{variant}/excluded-{batch}.csv",
        log:
            "logs/{study}/variant_features/{variant}-{batch}.log",
        benchmark:
            "benchmarks/{study}/variant_features/{variant}-{batch}.tsv"
        conda:
            "../envs/imaging.yaml"
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
            runtime=lambda wildcards, attempt: 30 * attempt,
        params:
            settings=json.dumps(settings.feature_settings(STUDY), sort_keys=True),
            perturbations=json.dumps(IMAGES["perturbations"], sort_keys=True),
            cache=STUDY["cache_dir"],
            reader=READERS[0],
            aggregate=IMAGES["lesion_aggregate"],
            seed=STUDY["seed"],
        shell:
            "python {input.script} --cases {input.cases} --assigned {input.assigned} --variant {wildcards.variant}"
            " --cache {params.cache:q} --settings {params.settings:q} --perturbations {params.perturbations:q}"
            " --reader {params.reader} --aggregate {params.aggregate} --seed {params.seed}"
            " --output {output.features} --exclusions {output.exclusions} 2>&1 | tee {log} >&2"

    use rule feature_table as variant_table with:
        input:
            batches=expand(
                "results/{{study}}/features/variants/{{variant}}/{batch}.parquet", batch=BATCHES
            ),
            script="scripts/feature_table.py",
            package=imports("scripts/feature_table.py"),
        output:
            table="results/{study}/features/{reader}-{variant}.parquet",
            manifest="results/{study}/features/{reader}-{variant}.manifest.json",
        log:
            "logs/{study}/feature_table/{reader}-{variant}.log",
        benchmark:
            "benchmarks/{study}/feature_table/{reader}-{variant}.tsv"

    rule example_case:
        """One training patient for a figure: slices, regions, a map of the signature's heaviest feature."""
        input:
            cases=expand("results/{{study}}/images/batch-{batch}.csv", batch=BATCHES),
            train="results/{study}/cohort/{analysis}/train.csv",
            weights="results/{study}/signature/{analysis}/weights.csv",
            script="scripts/example_case.py",
            package=imports("scripts/example_case.py"),
        output:
            pixels="results/{study}/signature/{analysis}/example_pixels.csv",
            views="results/{study}/signature/{analysis}/example_views.csv",
        log:
            "logs/{study}/example_case/{analysis}.log",
        benchmark:
            "benchmarks/{study}/example_case/{analysis}.tsv"
        conda:
            "../envs/imaging.yaml"
        params:
            cache=STUDY["cache_dir"],
            phases=IMAGES["phases"],
            extraction=json.dumps(IMAGES["extraction"], sort_keys=True),
            labels=labels,
        shell:
            "python {input.script} --cases {input.cases} --cache {params.cache:q} --train {input.train}"
            " --weights {input.weights} --phases {params.phases} --extraction {params.extraction:q}"
            " --labels {params.labels:q} --pixels {output.pixels} --views {output.views} > {log} 2>&1"

elif "features" in STUDY:

    rule import_features:
        """A ready table of features, checked and renamed."""
        input:
            table=STUDY["features"]["table"],
            repeat=only(STUDY["features"]["repeat"], STUDY["features"]["repeat"]),
            clinical="results/{study}/cohort/clinical.csv",
            script="scripts/import_features.py",
            package=imports("scripts/import_features.py"),
        output:
            table="results/{study}/features/reader1.parquet",
            repeat="results/{study}/features/reader2.parquet",
            exclusions="results/{study}/features/excluded.csv",
            doubts="results/{study}/features/doubts.csv",
        log:
            "logs/{study}/import_features.log",
        benchmark:
            "benchmarks/{study}/import_features.tsv"
        conda:
            "../envs/modelling.yaml"
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
        params:
            settings=json.dumps(STUDY["features"]),
            reserved=json.dumps(facts.known_after(STUDY)),
            subsets=json.dumps(facts.feature_subsets(STUDY)),
            repeat=option("repeat"),
        shell:
            "python {input.script} --table {input.table:q} {params.repeat:q} --settings {params.settings:q}"
            " --reserved {params.reserved:q} --subsets {params.subsets:q} --clinical {input.clinical}"
            " --output {output.table} --repeat-output {output.repeat} --exclusions {output.exclusions}"
            " --doubts {output.doubts} > {log} 2>&1"
