# Writes other_values.json: what R makes of the lung data of survival (in months, as lifelines ships them) and of the
# chronic graft-versus-host data that scikit-survival ships (competing risks).
# Rscript other_values.R, with the project's Python on the PATH and survival, riskRegression, pec, prodlim, maxstat, rms,
# cmprsk, glmnet, psych and jsonlite
suppressMessages({
  library(survival); library(riskRegression); library(pec); library(prodlim); library(maxstat); library(cmprsk)
  library(glmnet); library(jsonlite); library(rms)
})
exact <- coxph.control(eps = 1e-13, toler.chol = 1e-14, iter.max = 200)
horizons <- c(6, 12)
d <- na.omit(with(survival::lung, data.frame(
  time = time / 30.4375, event = status - 1, age, sex, karno = ph.karno, e1 = 1 * (ph.ecog == 1),
  e2 = 1 * (ph.ecog >= 2), group = pmin(ph.ecog, 2))))
names <- c("age", "sex", "karno", "e1", "e2")
X <- as.matrix(d[names])
r <- list()

f <- survfit(Surv(time, event) ~ 1, d, conf.type = "log-log"); s <- summary(f, times = horizons)
r$km <- list(survival = f$surv, lower = f$lower, upper = f$upper, n_risk = f$n.risk,
             median = unlist(quantile(f, 0.5), use.names = FALSE), rates = s$surv, rates_lower = s$lower,
             rates_upper = s$upper)
f <- survfit(Surv(time, status) ~ 1, aml, conf.type = "log-log")
r$aml <- unname(summary(f)$table[c("median", "0.95LCL", "0.95UCL")])
s <- survdiff(Surv(time, event) ~ group, d); w <- seq_along(s$n)
r$logrank <- list(groups = s$chisq, trend = sum(w * (s$obs - s$exp))^2 / drop(w %*% s$var %*% w))

f <- coxph(Surv(time, event) ~ age + sex + karno + cbind(e1, e2), d, control = exact)
r$cox <- list(coef = unname(coef(f)), se = unname(sqrt(diag(vcov(f)))), wald = unname(f$wald.test), score = f$score,
              loglik = f$loglik)
r$zph <- unname(cox.zph(f)$table[, 1])
r$kept <- attr(terms(step(f, trace = 0)), "term.labels")

# a model of the odd rows judged on the even ones
train <- d[seq(1, nrow(d), 2), ]; test <- d[seq(2, nrow(d), 2), ]
f <- coxph(Surv(time, event) ~ age + sex + karno + e1 + e2, train, control = exact, x = TRUE, y = TRUE)
test$lp <- drop(as.matrix(test[names]) %*% coef(f))
both <- concordance(coxph(Surv(time, event) ~ lp, test, init = 1, iter.max = 0),
                    coxph(Surv(time, event) ~ age, test, init = 1, iter.max = 0)); v <- both$var
u <- concordance(Surv(time, event) ~ lp, test, reverse = TRUE, timewt = "n/G2", ymax = 12)
r$c <- c(unname(both$concordance[1]), sqrt(v[1, 1]), -diff(unname(both$concordance)),
         sqrt(v[1, 1] + v[2, 2] - 2 * v[1, 2]), unname(u$concordance), sqrt(u$var))
r$royston <- unname(royston(coxph(Surv(time, event) ~ lp, test, control = exact))[1:3])
risk <- predictRisk(f, test, times = horizons); test <- as.data.frame(test)
curve <- pec(list(m = f), Surv(time, event) ~ 1, test, cens.model = "marginal", times = c(0, sort(unique(test$time))),
             exact = TRUE, verbose = FALSE)
r$ibs <- unname(crps(curve, times = 12)[, 1])
for (j in 1:2) {
  test$risk <- risk[, j]; test$other <- rank(test$age) / (nrow(test) + 1); h <- horizons[j]
  s <- Score(list(m = test$risk, k = test$other), Surv(time, event) ~ 1, test, times = h, metrics = c("auc", "brier"),
             summary = "ipa", cens.model = "km", se.fit = TRUE)
  test$x <- log(-log(1 - test$risk)); slope <- coxph(Surv(time, event) ~ x, test, control = exact)
  B <- Hmisc::rcspline.eval(test$x, quantile(test$x, c(0.1, 0.5, 0.9)), inclx = TRUE, norm = 2)
  smooth <- survfit(coxph(Surv(time, event) ~ B, test, control = exact), newdata = list(B = B))
  error <- abs(1 - c(summary(smooth, times = h)$surv) - test$risk)
  observed <- function(rows) 1 - summary(survfit(Surv(time, event) ~ 1, test[rows, ]), times = h)$surv
  r$judged[[j]] <- list(
    auc = s$AUC$score$AUC[1], auc_se = s$AUC$score$se[1], difference = -s$AUC$contrasts$delta.AUC,
    difference_se = s$AUC$contrasts$se, brier = s$Brier$score$Brier[1:2], brier_se = s$Brier$score$se[1:2],
    ipa = s$Brier$score$IPA[2], slope = unname(coef(slope)), slope_se = sqrt(vcov(slope)[1, 1]),
    oe = observed(TRUE) / mean(test$risk), ici = mean(error), e50 = median(error), e90 = unname(quantile(error, 0.9)),
    net_benefit = sapply(c(0.2, 0.3), function(p) {
      high <- test$risk >= p; (observed(high) - (1 - observed(high)) * p / (1 - p)) * mean(high)
    }))
}
m <- function(method) maxstat.test(Surv(time, event) ~ age, d, smethod = "LogRank", pmethod = method)
r$maxstat <- c(unname(m("Lau92")$estimate), unname(m("Lau92")$statistic), m("Lau92")$p.value, m("Lau94")$p.value)

# times below 1: glmnet tells a censoring from an event of the same time by adding 2e-14, which is lost on large times
z <- scale(X) * sqrt(nrow(X) / (nrow(X) - 1)); fold <- (seq_len(nrow(X)) - 1) %% 5 + 1; lambda <- 0.15 * 0.6^(0:7)
y <- Surv(d$time / 100, d$event)
cv <- cv.glmnet(z, y, family = "cox", alpha = 0.5, lambda = lambda, foldid = fold, thresh = 1e-14, maxit = 1e6)
r$glmnet <- list(lambda = lambda, deviance = unname(cv$cvm), se = unname(cv$cvsd), coef = unname(as.matrix(
  glmnet(z, y, family = "cox", alpha = 0.5, lambda = lambda, thresh = 1e-14, maxit = 1e6)$beta)))
cv <- function(z, y) cv.glmnet(z, y, family = "binomial", lambda = lambda, foldid = fold, thresh = 1e-14, maxit = 1e6)
r$binomial <- list(deviance = unname(cv(z, d$event)$cvm), se = unname(cv(z, d$event)$cvsd))
# one row left out is predicted at log odds of -300: cv.glmnet holds risks within 1e-5 and 1 - 1e-5
wild <- cbind(z, replace(5 * d$event + sin(seq_len(nrow(d))), 1, -500))
r$wild <- unname(cv(wild, d$event)$cvm)

axes <- datadist(d); options(datadist = "axes")
f <- cph(Surv(time, event) ~ age + karno, d, eps = 1e-12)
n <- nomogram(f, age = c(40, 60, 80), karno = c(50, 75, 100), lp = FALSE, maxscale = 100)
r$nomogram <- list(coef = unname(coef(f)), points = c(n$age$points, n$karno$points))

ratings <- matrix(c(9, 2, 5, 8, 6, 1, 3, 2, 8, 4, 6, 8, 7, 1, 2, 6, 10, 5, 6, 9, 6, 2, 4, 7), 6, byrow = TRUE)
i <- psych::ICC(ratings, lmer = FALSE)$results[2, ]
r$icc <- c(i$ICC, i[["lower bound"]], i[["upper bound"]])

g <- read.csv(pipe(paste("python -c \"from sksurv.datasets import load_cgvhd; import pandas as pd; x, y = load_cgvhd();",
  "x.assign(time=y['ftime'], code=y['status']).to_csv('/dev/stdout', index=False)\"")))
e <- data.frame(time = g$time, code = ifelse(g$code == 3, 1, ifelse(g$code == 0, 0, 2)), age = g$age,
                l = 1 * (g$extent == "L"))
a <- summary(survfit(Surv(time, factor(code)) ~ 1, e, conf.type = "log-log"), times = c(0.25, 0.5))
r$aalen_johansen <- list(incidence = a$pstate[, 2], se = a$std.err[, 2], lower = a$lower[, 2], upper = a$upper[, 2])
k <- crr(e$time, e$code, as.matrix(e[, 3:4]), gtol = 1e-12, maxiter = 100)
r$fine_gray <- list(coef = unname(k$coef), se = sqrt(diag(k$var)))
cs <- CSC(Hist(time, code) ~ age + l, e, cause = 1, control = exact)
e$risk <- predictRisk(cs, e, times = 0.5, cause = 1)[, 1]; e <- as.data.frame(e)
s <- Score(list(m = e$risk), Hist(time, code) ~ 1, e, times = 0.5, cause = 1, metrics = c("auc", "brier"),
           cens.model = "km", se.fit = TRUE)
ci <- cindex(list(m = as.matrix(e$risk)), Hist(time, code) ~ 1, e, eval.times = 0.5, cens.model = "marginal", cause = 1,
             verbose = FALSE)
curve <- pec(list(m = cs), Hist(time, code) ~ 1, e, cause = 1, cens.model = "marginal",
             times = c(0, sort(unique(e$time))), exact = TRUE, verbose = FALSE)
r$competing <- list(ibs = unname(crps(curve, times = 0.5)[, 1]), risk = e$risk[1:5], auc = s$AUC$score$AUC, auc_se = s$AUC$score$se, brier = s$Brier$score$Brier,
                    brier_se = s$Brier$score$se, c = unname(unlist(ci$AppCindex)))
writeLines(toJSON(r, digits = NA, auto_unbox = TRUE, na = "null"), "other_values.json")
