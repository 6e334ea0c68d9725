/** The addresses of the app. Everything behind sign-in is one lazy chunk a page. */
import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  redirect,
} from '@tanstack/react-router'
import { ApiError } from '../api/client'
import { queryClient } from '../api/link'
import { queries } from '../api/queries'
import { Login } from '../auth/Login'
import { CrashPage, NotFoundPage } from './faults'

const root = createRootRoute({ notFoundComponent: NotFoundPage, errorComponent: CrashPage })

const login = createRoute({
  getParentRoute: () => root,
  path: '/login',
  component: Login,
  validateSearch: (search: Record<string, unknown>): { next?: string } =>
    typeof search.next === 'string' ? { next: search.next } : {},
})

const app = createRoute({
  getParentRoute: () => root,
  id: 'app',
  component: lazyRouteComponent(() => import('../shell/Shell'), 'Shell'),
  beforeLoad: requireUser,
})

const home = createRoute({
  getParentRoute: () => app,
  path: '/',
  component: lazyRouteComponent(() => import('../projects/Home'), 'Home'),
})

const project = createRoute({
  getParentRoute: () => app,
  path: '/p/$project',
  component: lazyRouteComponent(() => import('../projects/Overview'), 'Overview'),
})

const members = createRoute({
  getParentRoute: () => app,
  path: '/p/$project/members',
  component: lazyRouteComponent(() => import('../members/Members'), 'Members'),
})

const projectSettings = createRoute({
  getParentRoute: () => app,
  path: '/p/$project/settings',
  component: lazyRouteComponent(() => import('../projects/ProjectSettings'), 'ProjectSettings'),
})

const harness = createRoute({
  getParentRoute: () => app,
  path: '/p/$project/h/$harness',
  component: lazyRouteComponent(() => import('../harness/HarnessPage'), 'HarnessPage'),
})

const session = createRoute({
  getParentRoute: () => app,
  path: '/p/$project/s/$session',
  component: lazyRouteComponent(() => import('../chat/SessionPage'), 'SessionPage'),
})

const files = createRoute({
  getParentRoute: () => app,
  path: '/p/$project/files/$',
  component: lazyRouteComponent(() => import('../files/FilesPage'), 'FilesPage'),
})

const skills = createRoute({
  getParentRoute: () => app,
  path: '/skills',
  component: lazyRouteComponent(() => import('../skills/Skills'), 'Skills'),
})

const skill = createRoute({
  getParentRoute: () => app,
  path: '/skills/$slug',
  component: lazyRouteComponent(() => import('../skills/SkillPage'), 'SkillPage'),
})

const settings = createRoute({
  getParentRoute: () => app,
  path: '/settings',
  component: lazyRouteComponent(() => import('../settings/Settings'), 'Settings'),
})

const admin = createRoute({
  getParentRoute: () => app,
  path: '/admin',
  beforeLoad: () => {
    throw redirect({ to: '/admin/users' })
  },
})

const adminUsers = createRoute({
  getParentRoute: () => app,
  path: '/admin/users',
  component: lazyRouteComponent(() => import('../admin/Users'), 'Users'),
})

const adminModels = createRoute({
  getParentRoute: () => app,
  path: '/admin/models',
  component: lazyRouteComponent(() => import('../admin/Models'), 'Models'),
})

const adminDeletions = createRoute({
  getParentRoute: () => app,
  path: '/admin/deletions',
  component: lazyRouteComponent(() => import('../admin/Deletions'), 'Deletions'),
})

const adminSystem = createRoute({
  getParentRoute: () => app,
  path: '/admin/system',
  component: lazyRouteComponent(() => import('../admin/System'), 'System'),
})

export const router = createRouter({
  routeTree: root.addChildren([
    login,
    app.addChildren([
      home,
      project,
      members,
      projectSettings,
      harness,
      session,
      files,
      skills,
      skill,
      settings,
      admin,
      adminUsers,
      adminModels,
      adminDeletions,
      adminSystem,
    ]),
  ]),
  defaultPreload: 'intent',
  defaultNotFoundComponent: NotFoundPage,
  defaultErrorComponent: CrashPage,
})

/** Nothing of the app is shown to nobody: a 401 is already sending the browser to sign in. */
async function requireUser() {
  try {
    await queryClient.ensureQueryData(queries.me())
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) await new Promise(() => {})
    throw error
  }
}

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router
  }
}
