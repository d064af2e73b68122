# Writes terms.csv, a cohort with a bent effect, an interaction and three strata, and terms_values.json: what R makes of
# splines, strata and interactions on it. Rscript terms_values.R, with survival, rms and jsonlite
suppressMessages({ library(survival); library(rms); library(jsonlite) })
exact <- coxph.control(eps = 1e-13, toler.chol = 1e-14, iter.max = 200)
set.seed(5)
n <- 260
d <- data.frame(age = round(rnorm(n, 62, 9), 1), afp = round(pmax(exp(rnorm(n, 2, 1.5)), 4), 1),
                number = 1 + rpois(n, 0.7), sex = rbinom(n, 1, 0.6), stage = sample(0:2, n, TRUE),
                grade = sample(0:2, n, TRUE, c(0.5, 0.3, 0.2)))
lp <- 0.002 * (d$age - 62)^2 + 0.5 * d$sex * (d$age - 62) / 9 + 0.4 * (d$stage == 2)
scale <- c(60, 30, 15)[d$grade + 1] * exp(-lp)
event_at <- ceiling(scale * (-log(runif(n)))^(1 / c(1, 1.6, 0.8)[d$grade + 1]))
death_at <- ceiling(rexp(n, 1 / 120)); cens <- ceiling(runif(n, 10, 80))
d$time <- pmin(event_at, cens, death_at)
d$event <- 1 * (event_at == d$time)
d$death <- 1 * (death_at == d$time & d$event == 0)
d$found <- rbinom(n, 1, plogis(-0.5 + lp / 2 + 0.3 * d$sex))
d$patient_id <- sprintf("P%03d", seq_len(n))
write.csv(d, "terms.csv", row.names = FALSE, quote = FALSE)
r <- list()

for (nk in 3:7) r$basis$age[[as.character(nk)]] <- list(
  knots = rcspline.eval(d$age, nk = nk, knots.only = TRUE), x = unclass(rcspline.eval(d$age, nk = nk, inclx = TRUE))[1:5, ])
for (nk in 3:5) r$basis$afp[[as.character(nk)]] <- list(knots = rcspline.eval(d$afp, nk = nk, knots.only = TRUE))
few <- d[1:60, ]
for (nk in 3:5) r$basis$few[[as.character(nk)]] <- list(knots = rcspline.eval(few$afp, nk = nk, knots.only = TRUE))
r$basis$number <- list("3" = list(knots = suppressWarnings(rcspline.eval(d$number, nk = 3, knots.only = TRUE))))

keep <- function(f) list(coef = unname(coef(f)), se = unname(sqrt(diag(vcov(f)))), loglik = as.numeric(logLik(f)))
d$s <- factor(d$stage)
f <- coxph(Surv(time, event) ~ rcs(age, 4) + s, d, control = exact)
r$spline <- keep(f)
r$spline$wald <- drop(coef(f)[1:3] %*% solve(vcov(f)[1:3, 1:3], coef(f)[1:3]))
f <- coxph(Surv(time, event) ~ rcs(age, 4) * sex + s, d, control = exact)
r$product <- keep(f)
f <- coxph(Surv(time, event) ~ age + sex + s + strata(grade), d, control = exact)
r$strata <- keep(f)
r$strata$zph <- unname(cox.zph(f)$table[, 1])
r$strata$concordance <- unname(concordance(f)$concordance)
r$strata$concordance_se <- unname(sqrt(concordance(f)$var))
base <- survfit(f, newdata = data.frame(age = mean(d$age), sex = mean(d$sex), s = "0", grade = 0:2))
r$strata$survival <- lapply(1:3, function(g) summary(base[g], times = c(6, 12, 24))$surv)
f <- coxph(Surv(time, event) ~ rcs(age, 4) * sex + s + strata(grade, sex > 2), d, control = exact)
r$all <- keep(f)
new <- d[1:6, ]
r$all$risk <- t(sapply(1:6, function(i) 1 - summary(survfit(f, newdata = new[i, ]), times = c(6, 12))$surv))
# death on the same columns and strata
r$death <- keep(coxph(Surv(time, death) ~ age + sex + strata(grade), d, control = exact))
f <- glm(found ~ rcs(age, 4) * sex + s, binomial, d, control = glm.control(1e-14, 100))
r$logistic <- keep(f)
r$logistic$risk <- unname(fitted(f)[1:6])
f <- glm(found ~ age * s, binomial, d, control = glm.control(1e-14, 100))
r$category <- keep(f)
writeLines(toJSON(r, digits = I(17), auto_unbox = TRUE, pretty = 1), "terms_values.json")
